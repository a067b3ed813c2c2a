import { answerTo, command, file, linesOf, shown } from '../ask.ts';
import type { Expectations } from '../expectations.ts';
import type { Finding, Look, Question, StateFact } from '../types.ts';

const LSM = file('/sys/kernel/security/lsm');
const SELINUX = file('/sys/fs/selinux/enforce');
const SELINUX_CONFIG = file('/etc/selinux/config');
const APPARMOR = file('/sys/module/apparmor/parameters/enabled');

type SecurityState = NonNullable<Expectations['security']>;

/** What the running kernel says. */
function stateOf(look: Look): SecurityState {
  const enforce = answerTo(look, SELINUX);
  if (enforce.exitCode === 0) return enforce.text.trim() === '1' ? 'selinux-enforcing' : 'selinux-permissive';
  return answerTo(look, APPARMOR).text.trim() === 'Y' ? 'apparmor' : 'none';
}

/** What the image asks for; the one that its kernel has where it asks for none. */
function wantedState(look: Look): { readonly state: SecurityState; readonly file: string } {
  const config = answerTo(look, SELINUX_CONFIG);
  const mode = /^\s*SELINUX\s*=\s*(\w+)/m.exec(config.text)?.[1];
  if (config.exitCode === 0 && (mode === 'enforcing' || mode === 'permissive'))
    return { state: `selinux-${mode}`, file: '/etc/selinux/config' };
  return { state: 'apparmor', file: '/usr/lib/bootc/kargs.d' };
}

const securityModule: StateFact = {
  id: 'security-module',
  title: 'SELinux is in the mode that the image asks for, or AppArmor is on',
  on: ['machine'],
  when: 'each-boot',
  asks: () => [LSM, SELINUX, SELINUX_CONFIG, APPARMOR],
  *check(look, { security }) {
    const wanted = wantedState(look);
    const state = security ?? wanted.state;
    const seen = stateOf(look);
    if (seen !== state) yield { expected: state, seen: `${seen}; the kernel has ${shown(answerTo(look, LSM))}`, file: wanted.file };
  },
};

/** Names and kinds only: a hash leaves no node. */
const ACCOUNTS: Question = {
  name: 'accounts',
  script: `while IFS=: read -r name hash _; do case $hash in '') echo "$name none" ;; ['!*']*) ;; *) echo "$name hash" ;; esac; done </etc/shadow`,
};

const passwords: StateFact = {
  id: 'passwords',
  title: 'no account has a password, or needs none',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [ACCOUNTS],
  *check(look) {
    const answer = answerTo(look, ACCOUNTS);
    if (answer.exitCode !== 0) yield { expected: '/etc/shadow can be read', seen: shown(answer), file: '/etc/shadow' };
    for (const line of linesOf(answer)) {
      const [name = '', kind] = line.split(' ');
      const seen = kind === 'none' ? 'it needs no password' : 'it has a password';
      yield { expected: `${name} is locked`, seen, file: '/etc/shadow' };
    }
  },
};

/** With everything that the image's drop-ins and what booted the machine say. */
const SSHD = command('sshd', 'sshd', '-T');

const SSHD_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  passwordauthentication: ['no'],
  kbdinteractiveauthentication: ['no'],
  permitemptypasswords: ['no'],
  permitrootlogin: ['without-password', 'prohibit-password', 'forced-commands-only', 'no'],
};

const ssh: StateFact = {
  id: 'ssh-keys-only',
  title: 'sshd takes keys only',
  on: ['machine'],
  when: 'each-boot',
  asks: () => [SSHD],
  *check(look) {
    const answer = answerTo(look, SSHD);
    const settings = new Map(linesOf(answer).map((line) => [line.split(' ')[0] ?? '', line.slice(line.indexOf(' ') + 1)]));
    for (const [name, allowed] of Object.entries(SSHD_SETTINGS)) {
      const value = settings.get(name);
      if (value === undefined || !allowed.includes(value)) {
        yield {
          expected: `${name} ${allowed.join(' or ')}`,
          seen: value === undefined ? shown(answer) : `${name} ${value}`,
          file: '/etc/ssh/sshd_config.d/10-kvci.conf',
        };
      }
    }
  },
};

const LISTENERS = command('listeners', 'ss', '-H', '-l', '-n', '-t', '-u', '-p');

/** SSH, and what DHCP clients have to be answered on (RFC 2131, RFC 8415). */
const OPEN_PORTS = ['tcp/22', 'udp/68', 'udp/546'] as const;

interface Listener {
  /** As `tcp/22`. */
  readonly port: string;
  readonly address: string;
  readonly process: string;
}

/** Lines of `ss -Hlntup`. */
export function parseListeners(text: string): readonly Listener[] {
  return linesOf({ text }).flatMap((line) => {
    const [protocol = '', , , , local = ''] = line.trim().split(/\s+/);
    const colon = local.lastIndexOf(':');
    if (!/^(tcp|udp)$/.test(protocol) || colon === -1) return [];
    const address = local.slice(0, colon).replace(/%.*/, '').replaceAll(/[[\]]/g, '');
    const process = /users:\(\("([^"]+)"/.exec(line)?.[1] ?? '';
    return [{ port: `${protocol}/${local.slice(colon + 1)}`, address, process }];
  });
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

const ports: StateFact = {
  id: 'ports',
  title: 'no port is open beyond loopback but SSH',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [LISTENERS],
  *check(look, { ports: more }) {
    const answer = answerTo(look, LISTENERS);
    if (answer.exitCode !== 0) yield { expected: 'ss lists the open ports', seen: shown(answer), file: '/usr/bin/ss' };
    const allowed = new Set<string>([...OPEN_PORTS, ...more]);
    const found = new Map<string, Finding>();
    for (const { port, address, process } of parseListeners(answer.text)) {
      if (isLoopback(address) || allowed.has(port)) continue;
      const by = process === '' ? '' : ` by ${process}`;
      found.set(port, {
        expected: `nothing listens on ${port}`,
        seen: `${address}${by}`,
        file: '/usr/lib/systemd/system-preset/20-kvci.preset',
      });
    }
    yield* found.values();
  },
};

export const SECURITY_FACTS: readonly StateFact[] = [securityModule, passwords, ssh, ports];
