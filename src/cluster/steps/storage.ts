import type { KubernetesApi, KubernetesObject } from '../../host/kubernetes.ts';
import type { NodeState } from '../state.ts';

/** The name that consumers of kubevirtci ask for. */
export const STORAGE_CLASS = 'local';

/** Folders that the image's tmpfiles make on every node, for one volume each. */
const DISKS_PER_NODE = 10;
const DISK_FOLDER = '/var/local-storage';

/** What a volume claims to hold. Nothing bounds it but the node's disk. */
const CAPACITY = '20Gi';

/** The default StorageClass: a claim is bound when its pod has a node, to a folder of that node. */
export function storageClass(): KubernetesObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name: STORAGE_CLASS, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
    reclaimPolicy: 'Delete',
  };
}

/** The volumes of one node. */
export function nodeVolumes({ name }: Pick<NodeState, 'name'>): readonly KubernetesObject[] {
  return Array.from({ length: DISKS_PER_NODE }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: `${name}-disk${index + 1}` },
    spec: {
      storageClassName: STORAGE_CLASS,
      capacity: { storage: CAPACITY },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      local: { path: `${DISK_FOLDER}/disk${index + 1}` },
      nodeAffinity: {
        required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [name] }] }] },
      },
    },
  }));
}

/** Makes the StorageClass and the volumes of the given nodes. */
export async function setStorage(nodes: readonly NodeState[], api: KubernetesApi, signal: AbortSignal): Promise<void> {
  await Promise.all([storageClass(), ...nodes.flatMap(nodeVolumes)].map((object) => api.apply(object, signal)));
}
