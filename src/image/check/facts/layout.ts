import type { TreeNode } from '../../../oci/tree.ts';
import { serviceDirectories, TMPFILES, tmpfilesPaths, UNIT_FILES } from '../systemd.ts';
import type { Fact, Finding } from '../types.ts';
import { configLines, type ImageView } from '../view.ts';

/** At most so many paths of one kind are named; the rest are counted. */
const SHOWN = 20;

function found(entries: Iterable<TreeNode>, message: string): Finding[] {
  const paths = [...entries].map((entry) => `/${entry.path}`);
  const shown = paths.slice(0, SHOWN).map((path) => ({ message, path }));
  return paths.length > SHOWN ? [...shown, { message: `${message} (and ${paths.length - SHOWN} more)` }] : shown;
}

const boot: Fact = {
  id: 'boot-empty',
  title: '/boot is empty: the kernel lies in /usr/lib/modules',
  check: (image) => found(image.below('boot'), 'must not be in the image'),
};

const temporary: Fact = {
  id: 'run-tmp-empty',
  title: '/run, /tmp and /var/tmp are empty',
  check: (image) => found([...image.below('run'), ...image.below('tmp'), ...image.below('var/tmp')], 'is hidden or lost at boot'),
};

const varLog: Fact = {
  id: 'var-log',
  title: 'no log files of the build in /var/log',
  check: (image) =>
    found(
      [...image.below('var/log')].filter(({ type }) => type !== 'directory'),
      'is a log of the build',
    ),
};

/** Content of /var is unpacked at the first installation only and never updated. */
const varEmpty: Fact = {
  id: 'var-empty',
  title: '/var holds only what tmpfiles.d or a service makes again',
  reads: [TMPFILES, UNIT_FILES],
  check(image) {
    const lines = tmpfilesPaths(image);
    const made = [...lines.keys(), ...serviceDirectories(image)];
    const copied = [...lines].filter(([, type]) => type.startsWith('C')).map(([path]) => `${path}/`);
    const isMade = ({ path, type }: TreeNode): boolean =>
      made.includes(path) ||
      (type === 'directory' && made.some((other) => other.startsWith(`${path}/`))) ||
      copied.some((folder) => path.startsWith(folder));
    const ofOthers = /^var\/(tmp|log)(\/|$)/;
    return found(
      [...image.below('var')].filter((node) => !ofOthers.test(node.path) && !isMade(node)),
      'is in /var and nothing makes it again',
    );
  },
};

const etc: Fact = {
  id: 'etc',
  title: 'configuration lies in /etc or in /usr/etc, not in both',
  check(image) {
    const filled = ['etc', 'usr/etc'].filter((path) => image.children(path).length > 0);
    if (filled.length === 1) return [];
    return [{ message: filled.length === 0 ? 'there is no configuration in /etc' : 'both /etc and /usr/etc hold files', path: '/usr/etc' }];
  },
};

const API_DIRECTORIES = ['boot', 'dev', 'proc', 'run', 'sys', 'tmp', 'var'] as const;

const api: Fact = {
  id: 'api-base-directories',
  title: 'the directories that are mounted at boot exist',
  check: (image) =>
    API_DIRECTORIES.filter((path) => image.entry(path)?.type !== 'directory').map((path) => ({
      message: 'is not a directory',
      path: `/${path}`,
    })),
};

const sysroot: Fact = {
  id: 'sysroot',
  title: '/sysroot is an empty directory and /ostree links into it',
  *check(image) {
    if (image.entry('sysroot')?.type !== 'directory') yield { message: 'is not a directory', path: '/sysroot' };
    yield* found(image.below('sysroot'), 'is hidden by the physical root');
    if (image.entry('ostree')?.type !== 'symlink' || image.resolve('ostree') !== 'sysroot/ostree')
      yield { message: 'is not a link to sysroot/ostree', path: '/ostree' };
  },
};

/** Paths that have to be writable on a read-only root, and whether a plain read-only directory is right too (rpm bases). */
const LINKS = { home: false, root: false, srv: false, mnt: false, opt: true, 'usr/local': true } as const;

const links: Fact = {
  id: 'links',
  title: '/home, /root, /srv, /mnt, /opt and /usr/local lead into /var',
  *check(image) {
    for (const [path, mayBeDirectory] of Object.entries(LINKS)) {
      const entry = image.entry(path);
      if (entry === undefined) yield { message: 'is missing', path: `/${path}` };
      else if (entry.type !== 'symlink' && !(mayBeDirectory && entry.type === 'directory'))
        yield { message: 'is not a link into /var', path: `/${path}` };
      else if (entry.type === 'symlink' && image.resolve(path)?.startsWith('var/') !== true)
        yield { message: `leads to /${image.resolve(path) ?? '(itself)'}, not into /var`, path: `/${path}` };
    }
  },
};

const linkTargets: Fact = {
  id: 'link-targets',
  title: 'tmpfiles.d makes what the links into /var lead to',
  reads: [TMPFILES],
  check(image) {
    const made = tmpfilesPaths(image);
    return Object.keys(LINKS)
      .filter((path) => image.entry(path)?.type === 'symlink')
      .flatMap((path) => image.resolve(path) ?? [])
      .filter((target) => target.startsWith('var/') && !made.has(target))
      .map((target) => ({ message: 'no tmpfiles.d line makes it', path: `/${target}` }));
  },
};

/** https://ostreedev.github.io/ostree/man/ostree-prepare-root.html */
const prepareRoot: Fact = {
  id: 'prepare-root',
  title: '/usr/lib/ostree/prepare-root.conf says how the root is mounted: composefs, or a read-only sysroot',
  reads: [/^usr\/lib\/ostree\/prepare-root\.conf$/],
  check(image) {
    const path = 'usr/lib/ostree/prepare-root.conf';
    const lines = configLines(image.text(path)).map((line) => line.replace(/\s+/g, ''));
    const value = (section: string, key: string): string | undefined => {
      let current = '';
      for (const line of lines) {
        if (line.startsWith('[')) current = line.slice(1, -1);
        else if (current === section && line.startsWith(`${key}=`)) return line.slice(key.length + 1);
      }
      return undefined;
    };
    const composefs = value('composefs', 'enabled');
    if (composefs === undefined) return [{ message: '[composefs] enabled is not set', path: `/${path}` }];
    const off = ['no', 'false', '0'].includes(composefs);
    const readOnly = ['yes', 'true', '1'].includes(value('sysroot', 'readonly') ?? '');
    return off && !readOnly ? [{ message: 'composefs is off and [sysroot] readonly is not set', path: `/${path}` }] : [];
  },
};

/** Bytes that are not UTF-8 come out of a tar as lone surrogates. */
const utf8: Fact = {
  id: 'utf8-names',
  title: 'all names are UTF-8',
  check: (image) =>
    found(
      [...image.all()].filter(({ path, linkname }) => !path.isWellFormed() || linkname?.isWellFormed() === false),
      'is not UTF-8',
    ),
};

const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

const worldWritable: Fact = {
  id: 'world-writable',
  title: 'nothing is writable by everybody but sticky directories',
  check: (image) =>
    found(
      [...image.all()].filter(
        ({ type, mode }) =>
          (type === 'file' && (mode & OTHERS_WRITE) !== 0) ||
          (type === 'directory' && (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0),
      ),
      'is writable by everybody',
    ),
};

/** Links whose target must be there for the node to start; others (documentation left out) may dangle. */
const IMPORTANT_LINKS =
  /^(usr\/)?(etc|lib)\/systemd\/system\/|^(usr\/)?(s?bin\/(init|sh|modprobe|mount|iptables|ip6tables|nft)|lib|lib64|bin|sbin)$|^(usr\/)?etc\/(os-release|localtime|mtab|ssl\/certs\/ca-certificates\.crt)$/;
const MADE_AT_BOOT = /^(var|run|proc|sys|dev|tmp|sysroot|boot)(\/|$)/;

const dangling: Fact = {
  id: 'dangling-links',
  title: 'links that the start of a node needs lead somewhere',
  check(image) {
    const leadsNowhere = (entry: TreeNode): boolean => {
      const target = image.resolve(entry.path);
      return (
        target === undefined || (!MADE_AT_BOOT.test(target) && image.entry(target) === undefined && !isTemplateInstance(image, target))
      );
    };
    return found(
      [...image.all()].filter((entry) => entry.type === 'symlink' && IMPORTANT_LINKS.test(entry.path) && leadsNowhere(entry)),
      'leads to nothing',
    );
  },
};

/** `getty@tty1.service` is made of `getty@.service`. */
function isTemplateInstance(image: ImageView, path: string): boolean {
  return image.target(path.replace(/@[^/]*\./, '@.')) !== undefined;
}

export const LAYOUT_FACTS: readonly Fact[] = [
  boot,
  temporary,
  varLog,
  varEmpty,
  etc,
  api,
  sysroot,
  links,
  linkTargets,
  prepareRoot,
  utf8,
  worldWritable,
  dangling,
];
