import type { Fact, Finding } from '../types.ts';
import { configLines, nameOf, type ImageView } from '../view.ts';

const machineId: Fact = {
  id: 'machine-id',
  title: '/etc/machine-id is an empty file: each node makes its own',
  *check(image) {
    const path = image.etc('machine-id');
    const entry = image.entry(path);
    if (entry?.type !== 'file') yield { message: 'is not an empty file', path: `/${path}` };
    else if (entry.size > 0) yield { message: 'holds an identity that all nodes would share', path: `/${path}` };
    for (const other of ['var/lib/dbus/machine-id', 'usr/lib/machine-id']) {
      if (image.entry(other)?.type === 'file') yield { message: 'holds an identity that all nodes would share', path: `/${other}` };
    }
  },
};

/** What container builders leave behind (bootc's lint `buildah-injected`). */
const hostname: Fact = {
  id: 'hostname',
  title: 'no name in /etc/hostname: it comes from the kernel line',
  check(image) {
    const path = image.etc('hostname');
    const entry = image.entry(path);
    // An empty one says nothing: engines leave it in images whose base has none.
    if (entry === undefined || (entry.type === 'file' && entry.size === 0)) return [];
    return [{ message: 'gives every node the same name', path: `/${path}` }];
  },
};

const resolvConf: Fact = {
  id: 'resolv-conf',
  title: "/etc/resolv.conf is a link or absent, not the build host's",
  reads: [/^etc\/resolv\.conf$/],
  check(image) {
    const path = image.etc('resolv.conf');
    return image.entry(path)?.type === 'file' && configLines(image.text(path)).length > 0
      ? [{ message: 'names the resolvers of the host that built the image', path: `/${path}` }]
      : [];
  },
};

const hostKeys: Fact = {
  id: 'host-keys',
  title: 'no SSH host keys',
  check: (image) =>
    image
      .children(image.etc('ssh'))
      .filter((path) => /^ssh_host_.*key(\.pub)?$/.test(nameOf(path)))
      .map((path) => ({ message: 'all nodes would share this host key', path: `/${path}` })),
};

const authorizedKeys: Fact = {
  id: 'authorized-keys',
  title: 'no authorized SSH keys',
  check: (image) => matching(image, /(^|\/)\.ssh\/authorized_keys2?$|^(usr\/)?etc\/ssh\/authorized_keys/, 'lets somebody into every node'),
};

const passwords: Fact = {
  id: 'passwords',
  title: 'no account has a password, or none at all',
  reads: [/^etc\/(passwd|shadow|gshadow)-?$/],
  *check(image) {
    for (const file of ['shadow', 'shadow-']) {
      const path = image.etc(file);
      for (const [name = '', hash = ''] of accounts(image.text(path))) {
        if (hash === '') yield { message: `${name} needs no password`, path: `/${path}` };
        else if (!/^[!*]/.test(hash)) yield { message: `${name} has a password`, path: `/${path}` };
      }
    }
    for (const file of ['passwd', 'passwd-']) {
      const path = image.etc(file);
      for (const [name = '', hash = '', uid = ''] of accounts(image.text(path))) {
        if (!/^[x!*]/.test(hash)) yield { message: `${name} has a password, or none, outside of shadow`, path: `/${path}` };
        if (uid === '0' && name !== 'root') yield { message: `${name} is a second root`, path: `/${path}` };
      }
    }
  },
};

function accounts(text: string | undefined): string[][] {
  return (text ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'));
}

/** The first value of a keyword counts, and drop-ins are included before the main file: sshd_config(5). */
const ssh: Fact = {
  id: 'ssh-keys-only',
  title: 'sshd takes keys only',
  reads: [/^etc\/ssh\/sshd_config(\.d\/[^/]+\.conf)?$/],
  check(image) {
    const main = image.etc('ssh/sshd_config');
    const files = [...image.children(image.etc('ssh/sshd_config.d')), main];
    const lines = files.flatMap((path) => configLines(image.text(path)));
    const value = (keyword: string): string | undefined => {
      const words = lines.map((line) => line.split(/[\s=]+/)).find(([first]) => first?.toLowerCase() === keyword.toLowerCase());
      return words?.[1]?.toLowerCase();
    };
    return ['PasswordAuthentication', 'KbdInteractiveAuthentication']
      .filter((keyword) => value(keyword) !== 'no')
      .map((keyword) => ({ message: `${keyword} is not "no"`, path: `/${main}` }));
  },
};

const privateKeys: Fact = {
  id: 'private-keys',
  title: 'no private keys',
  check: (image) =>
    [...image.all()]
      .filter(({ path }) => image.tree.observation(path)?.privateKey === true && !/\/ssh_host_[^/]*_key$/.test(path))
      .map(({ path }) => ({ message: 'holds a private key', path: `/${path}` })),
};

const CREDENTIALS =
  /(^|\/)(\.docker\/config\.json|\.dockercfg|\.dockerconfigjson|(containers|ostree)\/auth\.json|\.?netrc|\.git-credentials|\.aws\/credentials|\.kube\/config|\.npmrc|\.pypirc|\.(ba|z|a)?sh_history)$|^(usr\/)?etc\/(kubernetes\/([^/]+\.conf$|pki\/)|apt\/auth\.conf)/;

const credentials: Fact = {
  id: 'credentials',
  title: 'no credentials of registries, repositories or clusters',
  check: (image) => matching(image, CREDENTIALS, 'may hold credentials'),
};

const PROXY_FILES =
  /^etc\/(environment|apt\/apt\.conf(\.d\/.*)?|dnf\/dnf\.conf|yum\.conf|yum\.repos\.d\/.*|wgetrc|profile\.d\/.*|systemd\/(system|user)\.conf(\.d\/.*)?)$/;
const PROXY_SETTING =
  /^(export\s+)?((https?|ftp|all|no)_proxy|proxy(_username|_password)?)\s*=\s*\S|^Acquire::[A-Za-z]+::(Proxy|proxy)|^DefaultEnvironment=.*_proxy=/i;

const leftovers: Fact = {
  id: 'build-leftovers',
  title: "no proxies and certificate authorities of the build host, and no passwords in the image's history",
  reads: [PROXY_FILES],
  *check(image) {
    for (const variable of image.tree.config.config?.Env ?? []) {
      if (/^(https?|ftp|all|no)_proxy=/i.test(variable)) yield { message: `the image's environment sets ${variable.split('=')[0] ?? ''}` };
    }
    for (const { created_by: command } of image.tree.config.history ?? []) {
      if (command !== undefined && /[a-z]+:\/\/[^/\s:@]+:[^/\s@]+@/i.test(command))
        yield { message: "the image's history holds a URL with a password" };
    }
    for (const { path, type } of image.all()) {
      if (type === 'file' && PROXY_FILES.test(path.replace(/^usr\/etc\//, 'etc/'))) {
        const setting = configLines(image.text(path)).find((line) => PROXY_SETTING.test(line));
        if (setting !== undefined) yield { message: 'sets a proxy', path: `/${path}` };
      }
    }
    yield* matching(
      image,
      /^usr\/local\/share\/ca-certificates\/.+\.crt$|^(usr\/)?etc\/pki\/ca-trust\/source\/anchors\/.+/,
      'trusts a certificate authority of the build host',
    );
  },
};

function matching(image: ImageView, pattern: RegExp, message: string): Finding[] {
  return [...image.all()]
    .filter(({ path, type, size }) => type === 'file' && size > 0 && pattern.test(path))
    .map(({ path }) => ({ message, path: `/${path}` }));
}

export const IDENTITY_FACTS: readonly Fact[] = [
  machineId,
  hostname,
  resolvConf,
  hostKeys,
  authorizedKeys,
  passwords,
  ssh,
  privateKeys,
  credentials,
  leftovers,
];
