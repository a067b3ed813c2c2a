import { answerTo, file, linesOf, shown } from '../ask.ts';
import type { Look, LivesFact, Question } from '../types.ts';

const MACHINE_ID = file('/etc/machine-id');

const machineId: LivesFact = {
  id: 'machine-id',
  title: 'the machine id is kept over a reboot and differs between two nodes',
  on: ['container', 'machine'],
  when: 'over-boots',
  asks: () => [MACHINE_ID],
  *check({ first, rebooted, copy }) {
    const one = answerTo(first, MACHINE_ID);
    const id = one.text.trim();
    const path = '/etc/machine-id';
    if (!/^[0-9a-f]{32}$/.test(id)) yield { expected: 'a machine id', seen: shown(one), file: path };
    const again = answerTo(rebooted, MACHINE_ID).text.trim();
    if (again !== id) yield { expected: `${id} after a reboot`, seen: again, file: path };
    if (answerTo(copy, MACHINE_ID).text.trim() === id)
      yield { expected: 'another machine id on another node', seen: 'the same', file: path };
  },
};

/** Public halves only. */
const HOST_KEYS: Question = { name: 'host-keys', script: 'for key in /etc/ssh/ssh_host_*_key.pub; do show "$key"; done; true' };

const KEYGEN = '/usr/lib/systemd/system/sshd-keygen.service';

/** Without their comments, in order. */
function hostKeys(look: Look): readonly string[] {
  return linesOf(answerTo(look, HOST_KEYS))
    .map((line) => line.split(' ').slice(0, 2).join(' '))
    .toSorted();
}

const hostKey: LivesFact = {
  id: 'host-keys',
  title: 'SSH host keys are made at the first boot, kept over a reboot, and differ between two nodes',
  on: ['machine'],
  when: 'over-boots',
  asks: () => [HOST_KEYS],
  *check({ first, rebooted, copy }) {
    const [one, again, other] = [hostKeys(first), hostKeys(rebooted), hostKeys(copy)];
    if (one.length === 0) yield { expected: 'a host key', seen: 'none', file: KEYGEN };
    if (again.join('\n') !== one.join('\n')) yield { expected: 'the same host keys after a reboot', seen: again.join('\n'), file: KEYGEN };
    const shared = one.filter((key) => other.includes(key));
    if (shared.length > 0) yield { expected: 'other host keys on another node', seen: `both have ${shared.join('\n')}`, file: KEYGEN };
  },
};

const WRITTEN = ['/etc/kvci-verify', '/var/lib/kvci-verify'] as const;
const WORD = 'written before the reboot';

const MARKERS: Question = { name: 'markers', script: `for path in ${WRITTEN.join(' ')}; do echo "$path $(show "$path")"; done` };

const WRITE_MARKERS: Question = {
  name: 'write-markers',
  script: `for path in ${WRITTEN.join(' ')}; do echo '${WORD}' >"$path"; done; sync`,
};

const persistent: LivesFact = {
  id: 'persistent',
  title: '/etc and /var keep what is written over a reboot, and another node has none of it',
  on: ['container', 'machine'],
  when: 'over-boots',
  asks: () => [MARKERS],
  prepare: WRITE_MARKERS,
  *check({ first, rebooted, copy }) {
    const has = (look: Look, path: string): boolean => linesOf(answerTo(look, MARKERS)).includes(`${path} ${WORD}`);
    for (const path of WRITTEN) {
      const finding = { file: '/usr/lib/ostree/prepare-root.conf' };
      if (!has(rebooted, path)) yield { ...finding, expected: `${path} is there after a reboot`, seen: 'it is not' };
      if (has(first, path) || has(copy, path))
        yield { ...finding, expected: `no ${path} on a node where nothing has written it`, seen: 'it is there' };
    }
  },
};

const BOOT_ID = file('/proc/sys/kernel/random/boot_id');

const reboots: LivesFact = {
  id: 'reboots',
  title: 'the machine comes back from a reboot',
  on: ['machine'],
  when: 'over-boots',
  asks: () => [BOOT_ID],
  *check({ first, rebooted }) {
    const id = answerTo(first, BOOT_ID).text.trim();
    if (answerTo(rebooted, BOOT_ID).text.trim() === id) yield { expected: 'another boot id', seen: id, file: '/usr/lib/systemd/system' };
  },
};

export const IDENTITY_FACTS: readonly LivesFact[] = [reboots, persistent, machineId, hostKey];
