import { shellLine } from '../../core/shell.ts';
import { CNI_PLUGINS } from '../../image/check/facts/runtime.ts';
import { answerTo, linesOf } from '../ask.ts';
import type { Expectations } from '../expectations.ts';
import type { Finding, Question, StateFact } from '../types.ts';

/** Written to, and not only asked whether one may: what succeeds on a throwaway disk is a fact that fails. */
function writeAttempts(paths: readonly string[]): Question {
  return {
    name: 'write-attempts',
    script: `for path in ${shellLine(paths)}; do if ( : >"\${path%/}/.kvci-verify" ) 2>/dev/null; then echo "$path written"; else echo "$path refused"; fi; done`,
  };
}

/** access(2) tells of a file system that is read-only and of a folder that is immutable. */
function writable(paths: readonly string[]): Question {
  return {
    name: 'writable',
    script: `for path in ${shellLine(paths)}; do if [ ! -d "$path" ]; then echo "$path missing"; elif [ -w "$path" ]; then echo "$path writable"; else echo "$path read-only"; fi; done`,
  };
}

const READ_ONLY = ['/usr', '/'] as const;
const WRITABLE = ['/etc', '/var', '/var/lib', '/etc/kubernetes', '/etc/cni/net.d', '/opt/cni/bin'] as const;
const PREPARE_ROOT = '/usr/lib/ostree/prepare-root.conf';
const TMPFILES = '/usr/lib/tmpfiles.d/kvci.conf';

const readOnlyPaths = ({ readOnly }: Expectations): readonly string[] => [...READ_ONLY, ...readOnly];
const writablePaths = ({ writable: more }: Expectations): readonly string[] => [...WRITABLE, ...more];

function* notAs(text: readonly string[], wanted: string, fileOf: (path: string) => string): Generator<Finding> {
  for (const line of text) {
    const [path = '', state = ''] = line.split(' ');
    if (state !== wanted) yield { expected: `${path} ${wanted}`, seen: `${path} ${state}`, file: fileOf(path) };
  }
}

const readOnly: StateFact = {
  id: 'read-only',
  title: '/usr and / refuse to be written to',
  on: ['machine'],
  when: 'each-boot',
  asks: (expected) => [writeAttempts(readOnlyPaths(expected))],
  check: (look, expected) => notAs(linesOf(answerTo(look, writeAttempts(readOnlyPaths(expected)))), 'refused', () => PREPARE_ROOT),
};

const writableFolders: StateFact = {
  id: 'writable',
  title: '/etc, /var and the folders that Kubernetes and CNI installers write to are writable',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: (expected) => [writable(writablePaths(expected))],
  check: (look, expected) =>
    notAs(linesOf(answerTo(look, writable(writablePaths(expected)))), 'writable', (path) =>
      path === '/etc' || path.startsWith('/var') ? PREPARE_ROOT : TMPFILES,
    ),
};

/** Physical paths, by the shell itself. */
const PLACES: Question = {
  name: 'places',
  script: `for path in /home /root /srv /mnt /opt/cni/bin /usr/local; do ( cd -P "$path" && echo "$path $PWD" ) || echo "$path -"; done 2>/dev/null`,
};

/** A plain folder below the read-only root is as designed on rpm bases. */
const MAY_BE_PLAIN = new Set(['/usr/local']);

const places: StateFact = {
  id: 'opt-and-home',
  title: '/home, /root, /srv, /mnt and /opt/cni lie in /var',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [PLACES],
  *check(look) {
    for (const line of linesOf(answerTo(look, PLACES))) {
      const [path = '', place = ''] = line.split(' ');
      if (place.startsWith('/var/') || (MAY_BE_PLAIN.has(path) && place === path)) continue;
      yield {
        expected: `${path} leads into /var`,
        seen: place === '-' ? 'it leads nowhere' : `it is ${place}`,
        file: path === '/opt/cni/bin' ? TMPFILES : path,
      };
    }
  },
};

const CNI_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni'] as const;

const PLUGINS: Question = {
  name: 'cni-plugins',
  script: `for plugin in ${shellLine(CNI_PLUGINS)}; do found=; for folder in ${shellLine(CNI_FOLDERS)}; do if [ -f "$folder/$plugin" ] && [ -x "$folder/$plugin" ]; then found=$folder; break; fi; done; echo "$plugin \${found:--}"; done`,
};

const plugins: StateFact = {
  id: 'cni-plugins',
  title: 'the CNI plugins of the image are where the container runtime looks',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [PLUGINS],
  *check(look) {
    for (const line of linesOf(answerTo(look, PLUGINS))) {
      const [plugin = '', folder = ''] = line.split(' ');
      if (folder === CNI_FOLDERS[0]) continue;
      yield {
        expected: `${plugin} in ${CNI_FOLDERS[0]}`,
        seen: folder === '-' ? `it is in none of ${CNI_FOLDERS.join(', ')}` : `it is in ${folder} only`,
        file: TMPFILES,
      };
    }
  },
};

export const LAYOUT_FACTS: readonly StateFact[] = [readOnly, writableFolders, places, plugins];
