import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';

import { hexOf, type Digest } from '../core/digest.ts';
import type { PayloadComponent } from '../payload/types.ts';

/** An installed package of the distribution. */
export interface InstalledPackage {
  readonly name: string;
  /** With its epoch in front (`1:3.0.3`) unless that is 0, as dpkg and rpm write it. */
  readonly version: string;
  readonly architecture: string;
  /** Of the file that it was installed from, where that is known. */
  readonly digest?: Digest;
}

export interface SystemPackages {
  readonly kind: 'deb' | 'rpm';
  readonly distribution: string;
  readonly packages: readonly InstalledPackage[];
}

export interface SbomInput {
  /** ISO 8601, from the lock. */
  readonly created: string;
  readonly kvciVersion: string;
  readonly image: { readonly name: string; readonly version: string };
  /** The published image that it was built from, if any. */
  readonly base?: { readonly name: string; readonly digest: Digest };
  readonly system: SystemPackages;
  readonly payload: readonly PayloadComponent[];
}

/**
 * The bill of materials of a node image as CycloneDX 1.6 JSON. The same input gives the same bytes: there is no serial number, and
 * the time is the lock's.
 *
 * https://cyclonedx.org/docs/1.6/json/
 */
export function sbomJson(input: SbomInput): string {
  const { Component } = Models;
  const bom = new Models.Bom();
  bom.metadata.timestamp = new Date(input.created);
  bom.metadata.tools.components.add(new Component(Enums.ComponentType.Application, 'kvci', { version: input.kvciVersion }));
  bom.metadata.component = new Component(Enums.ComponentType.OperatingSystem, input.image.name, {
    version: input.image.version,
    bomRef: 'image',
  });
  if (input.base !== undefined) {
    bom.components.add(
      component(Enums.ComponentType.Container, { ...input.base, version: input.base.digest, purl: imagePurl(input.base) }),
    );
  }
  for (const one of systemComponents(input.system)) bom.components.add(component(Enums.ComponentType.Library, one));
  for (const one of input.payload) bom.components.add(component(Enums.ComponentType.Application, one));
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 1 })}\n`;
}

function component(type: Enums.ComponentType, { name, version, purl, digest }: PayloadComponent): Models.Component {
  return new Models.Component(type, name, {
    version,
    purl,
    bomRef: purl,
    ...(digest === undefined ? {} : { hashes: new Models.HashDictionary([[Enums.HashAlgorithm['SHA-256'], hexOf(digest)]]) }),
  });
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md */
function imagePurl({ name, digest }: { readonly name: string; readonly digest: Digest }): string {
  const repository = name.replace(/[:@][^/]*$/, '');
  return `pkg:oci/${repository.slice(repository.lastIndexOf('/') + 1)}@${encodeURIComponent(digest)}?repository_url=${encodeURIComponent(repository)}`;
}

/** Packages of the system as components: https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md and rpm-definition.md */
export function systemComponents(system: SystemPackages): readonly PayloadComponent[] {
  const namespace = system.distribution.replace(/-.*$/, '');
  const distro = encodeURIComponent(system.distribution);
  if (system.kind === 'deb') {
    return system.packages.map(({ name, version, architecture, digest }) => ({
      name,
      version,
      purl: `pkg:deb/${namespace}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${distro}`,
      ...(digest === undefined ? {} : { digest }),
    }));
  }
  return system.packages.map(({ name, version, architecture }) => {
    const [, epoch, rest = version] = /^(?:(\d+):)?(.*)$/.exec(version) ?? [];
    const epochQualifier = epoch === undefined ? '' : `&epoch=${epoch}`;
    return {
      name,
      version,
      purl: `pkg:rpm/${namespace}/${encodeURIComponent(name)}@${encodeURIComponent(rest)}?arch=${architecture}&distro=${distro}${epochQualifier}`,
    };
  });
}
