import { answerTo, linesOf } from '../ask.ts';
import type { Question, TrialFact } from '../types.ts';

/**
 * Of the kubelet's start, of a pod's, and of its end: many times what they take under emulation. All of them together are less than
 * one batch of questions gets, or nothing of what was seen would be told.
 */
const SECONDS_EACH = 150;

/** For a kubelet that takes a connection and says nothing. */
const SECONDS_TO_ANSWER = 10;

/**
 * Starts the kubelet without a cluster, as systemd starts it, with a pod of the preloaded pause image; then takes both away
 * again. What was asked for is told in lines `NAME VALUE`, and the end of the journal where something did not come.
 *
 * Its configuration is what kubeadm writes for any node, but for the cluster; drop-ins of the image win over it.
 */
const STANDALONE: Question = {
  name: 'standalone-kubelet',
  script: `
get() { exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1; printf 'GET %s HTTP/1.0\\r\\n\\r\\n' "$2" >&3; IFS= read -r -d '' -t ${SECONDS_TO_ANSWER} -u 3 body; exec 3>&-; } 2>/dev/null
await() { local end=$((SECONDS + ${SECONDS_EACH})); until get "$1" "$2" && [[ $body == *"$3"* || $body == *"\${4:-$3}"* ]]; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.5; done; }
pause=; while read -r ref _; do case $ref in */pause:*) pause=$ref ;; esac; done </usr/lib/kvci/images.list
folder=/run/kvci-verify drop_in=/run/systemd/system/kubelet.service.d
mkdir -p "$folder" "$drop_in"
printf '[Service]\\nEnvironment="KUBELET_KUBECONFIG_ARGS="\\n' >"$drop_in/90-kvci-verify.conf"
cat >"$folder/pod.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: kvci-verify, namespace: kube-system}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers: [{name: pause, image: "$pause", imagePullPolicy: Never}]
END
cat >/var/lib/kubelet/config.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
readOnlyPort: 10255
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: systemd
staticPodPath: $folder
END
systemctl daemon-reload
systemctl start --no-block kubelet.service
healthz=none pod=none
if await 10248 /healthz ok; then healthz=ok; await 10255 /pods '"phase":"Running"' && pod=running; fi
echo "healthz $healthz"
echo "pod $pod"
journalctl --unit kubelet --no-pager --output cat --lines 8
rm -f "$folder/pod.yaml"
[ "$pod" = none ] || await 10255 /pods '"items":null' '"items":[]'
systemctl stop kubelet.service
rm -rf "$folder" "$drop_in/90-kvci-verify.conf" /var/lib/kubelet/config.yaml
systemctl daemon-reload`,
};

const KUBELET_UNIT = '/usr/lib/systemd/system/kubelet.service.d';

function trial(fact: Pick<TrialFact, 'id' | 'title'>, line: string, file: string): TrialFact {
  return {
    ...fact,
    on: ['container', 'machine'],
    when: 'once',
    asks: () => [STANDALONE],
    *check(look) {
      const lines = linesOf(answerTo(look, STANDALONE));
      if (!lines.includes(line)) yield { expected: line, seen: lastWords(lines), file };
    },
  };
}

function lastWords(lines: readonly string[]): string {
  return lines.filter((line) => !/^(healthz|pod) /.test(line)).join('\n');
}

export const KUBELET_FACTS: readonly TrialFact[] = [
  trial({ id: 'kubelet-standalone', title: 'the kubelet answers when it is given a configuration' }, 'healthz ok', KUBELET_UNIT),
  trial({ id: 'pod', title: 'the kubelet runs a pod of a preloaded image through the CRI' }, 'pod running', '/usr/lib/kvci/images'),
];
