import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Sandbox } from '../../src/sandbox/types.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const COMMON = new URL('../../templates/node/common/', import.meta.url).pathname;

/** Stands for systemd: tells what the entrypoint left it. */
const INIT = `#!/bin/sh
tell() { echo "$1 $(cat "$2" 2> /dev/null)"; }
tell controllers: /run/kvci/container
tell overcommit: /proc/sys/vm/overcommit_memory
tell panic: /proc/sys/kernel/panic
grep -q nameserver /run/kvci/resolv.conf && tell resolvers: /run/kvci/resolv.conf
echo "masks: $(find /run/systemd/system -type f -empty | wc -l)"
echo "sysctl: $(ls /run/systemd/system | grep -c sysctl)"
echo 1 > /proc/sys/net/ipv4/ip_forward && echo "network: writable"
(echo 300 > /proc/sys/fs/inotify/max_user_instances) 2> /dev/null || echo "host: read-only"
(mkdir /sys/kernel/x) 2> /dev/null || echo "sys: read-only"
grep -c ' /proc/sys/net ' /proc/self/mountinfo
`;

/** A container's start by hand: mounts and a /run of its own, which end with it; what is below /etc stays. */
const START = `set -eu
mount -t tmpfs tmpfs /run
printf '%b' "$RESOLVERS" > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
if [ -n "$CONTROLLERS" ]; then
  echo "$CONTROLLERS" > /run/controllers
  mount --bind /run/controllers /sys/fs/cgroup/cgroup.controllers
fi
exec sh /usr/libexec/kvci/entrypoint "$@"
`;

/** A resolver as Docker's, at ports that nobody is told of, and who asks it: the node's own, and a pod behind a bridge. */
const RESOLVER = `use strict; use IO::Socket::INET; $| = 1;
sub run { system(@_) == 0 or die "@_" }
sub ask {
  my ($kind) = @_;
  my $socket = IO::Socket::INET->new(Proto => $kind, PeerAddr => '192.0.2.1', PeerPort => 53, Timeout => 5) or return 'nothing';
  $socket->send('who') if $kind eq 'udp';
  vec(my $ready = '', fileno($socket), 1) = 1;
  return 'nothing' unless select($ready, undef, undef, 5);
  $socket->recv(my $answer, 99);
  return $answer;
}
if (@ARGV) { print "$ARGV[0] $_: ", ask($_), "\\n" for qw(udp tcp); exit }
run(qw(ip link set lo up));
my $udp = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.11') or die;
my $tcp = IO::Socket::INET->new(Proto => 'tcp', LocalAddr => '127.0.0.11', Listen => 5) or die;
my $own = readlink '/proc/self/ns/net';
my @children = map { my $child = $_; my $pid = fork // die; $pid or do { $child->(); exit } }
  sub { while ($udp->recv(my $asked, 99)) { $udp->send('answered') } },
  sub { while (my $one = $tcp->accept) { print $one 'answered'; close $one } },
  sub { exec qw(unshare --net sleep 60) };
my $pod = "/proc/$children[2]/ns/net";
select undef, undef, undef, 0.05 while readlink($pod) eq $own;
my @in = ('nsenter', "--net=$pod");
run(qw(ip link add cni0 type bridge));
run(qw(ip addr add 10.244.0.1/24 dev cni0));
# Where the address that nobody answers at would be.
run(qw(ip addr add 192.0.2.2/24 dev cni0));
run(qw(ip link set cni0 up));
run(qw(ip link add veth0 type veth peer name eth0 netns), $children[2]);
run(qw(ip link set veth0 up master cni0));
run(@in, qw(ip addr add 10.244.0.2/24 dev eth0));
run(@in, qw(ip link set eth0 up));
run(@in, qw(ip route add default via 10.244.0.1));
run(qw(sh /srv/start.sh /sbin/init));
run('perl', $0, 'own');
run(@in, 'perl', $0, 'pod');
kill 'KILL', @children;
`;

const CONFIG = `version = 3
imports = ["/etc/containerd/conf.d/*.toml", "/run/kvci/containerd/*.toml"]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = true
[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "/etc/cni/net.d"
`;

const TUNABLES = ['vm/overcommit_memory', 'kernel/panic', 'fs/inotify/max_user_instances'] as const;

describe('the entrypoint of a node image', () => {
  let folder: string;
  let box: Sandbox;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-entrypoint-'));
    for (const name of ['kubernetes', 'containerd']) await mkdir(join(folder, name));
    for (const [name, text] of Object.entries({
      init: INIT,
      'start.sh': START,
      'resolver.pl': RESOLVER,
      'machine-id': '',
      'containerd/config.toml': CONFIG,
    }))
      await writeFile(join(folder, name), text);
    await chmod(join(folder, 'init'), 0o755);
    box = await testSandboxes(await toolsTree(), folder).start({
      name: 'entrypoint',
      network: 'private',
      cgroups: true,
      signal: new AbortController().signal,
      binds: [
        { host: join(COMMON, 'usr/libexec/kvci'), inside: '/usr/libexec/kvci', writable: false },
        { host: join(COMMON, 'usr/lib/kvci'), inside: '/usr/lib/kvci', writable: false },
        { host: join(folder, 'init'), inside: '/sbin/init', writable: false },
        { host: join(folder, 'start.sh'), inside: '/srv/start.sh', writable: false },
        { host: join(folder, 'resolver.pl'), inside: '/srv/resolver.pl', writable: false },
        { host: join(folder, 'machine-id'), inside: '/etc/machine-id', writable: true },
        { host: join(folder, 'kubernetes'), inside: '/etc/kubernetes', writable: true },
        { host: join(folder, 'containerd'), inside: '/etc/containerd', writable: false },
      ],
    });
  });

  afterAll(async () => {
    await box[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  interface Surroundings {
    readonly controllers?: string;
    readonly resolvers?: string;
    readonly command?: readonly string[];
  }

  async function start({ controllers = '', resolvers = '', command = ['/sbin/init'] }: Surroundings = {}): Promise<string> {
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '/srv/start.sh', ...command] as const;
    const { stdout } = await box.run([...argv], { env: { CONTROLLERS: controllers, RESOLVERS: resolvers } });
    return stdout;
  }

  const dropIns = async (): Promise<readonly string[]> => (await readdir(join(folder, 'kubernetes/kubelet.conf.d'))).toSorted();
  const ALL = 'cpuset cpu io memory hugetlb pids';

  it("keeps the host's kernel as it is, shows kubelet what it wants, and leaves the network's settings writable", async () => {
    const values = async (): Promise<readonly string[]> => Promise.all(TUNABLES.map((name) => readFile(join('/proc/sys', name), 'utf8')));
    const before = await values();
    const told = await start({ controllers: ALL });
    expect(await values()).toEqual(before);
    expect(told).toContain('overcommit: 1\n');
    expect(told).toContain('panic: 10\n');
    expect(told).toContain('network: writable\nhost: read-only\nsys: read-only\n1\n');
  });

  it('masks every unit of its table, and not systemd-sysctl', async () => {
    const table = await readFile(join(COMMON, 'usr/lib/kvci/container/masked-units'), 'utf8');
    const units = table.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(new Set(units).size).toBe(units.length);
    const told = await start();
    expect(told).toContain(`masks: ${units.length}\n`);
    expect(told).toContain('sysctl: 0\n');
  });

  it.each([
    ['the same', 'nameserver 192.0.2.53\nsearch example\n', 'nameserver 192.0.2.53\nsearch example\n'],
    ['none of loopback', 'nameserver 127.0.0.11\nnameserver 2001:db8::53\n', 'nameserver 2001:db8::53\n'],
    ['another than that of loopback', 'search example\nnameserver 127.0.0.11\n', 'search example\nnameserver 192.0.2.1\n'],
    ['one at least', '', 'nameserver 192.0.2.1\n'],
  ])('gives pods name servers: %s', async (_what, resolvers, expected) => {
    expect(await start({ resolvers: resolvers.replaceAll('\n', '\\n') })).toContain(`resolvers: ${expected}`);
  });

  it("leads pods, and the node's own, to a resolver of the engine on its loopback", async () => {
    const { stdout } = await box.run(['unshare', '--mount', '--net', '--propagation', 'private', 'perl', '/srv/resolver.pl'], {
      env: { CONTROLLERS: ALL, RESOLVERS: 'nameserver 127.0.0.11\\n' },
    });
    expect(stdout).toMatch(/^own udp: answered\nown tcp: answered\npod udp: answered\npod tcp: answered\n$/m);
  });

  it('runs pods without limits where controllers are missing, and with them once they are there', async () => {
    expect(await start({ controllers: 'cpu io pids' })).toContain('controllers: missing-controllers: cpuset memory\n');
    expect(await dropIns()).toEqual(['20-kvci-container.conf', '30-kvci-without-cgroups.conf']);
    expect(await start({ controllers: ALL })).toContain('controllers: missing-controllers:\n');
    expect(await dropIns()).toEqual(['20-kvci-container.conf']);
  });

  it("changes the runtime in containerd's own configuration, and nothing else of it", async () => {
    await writeFile(join(folder, 'init'), '#!/bin/sh\ncat /run/kvci/containerd/*.toml\n');
    const drop = await start({ controllers: 'cpu' });
    await writeFile(join(folder, 'init'), INIT);
    expect(drop).toBe(
      CONFIG.replace(/^imports.*\n/m, '').replace(
        'SystemdCgroup = true',
        'SystemdCgroup = false\nBinaryName = "/usr/libexec/kvci/crun-without-cgroups"',
      ),
    );
  });

  it('gives a node an identity once', async () => {
    const identity = async (): Promise<string> => readFile(join(folder, 'machine-id'), 'utf8');
    await start();
    const first = await identity();
    expect(first).toMatch(/^[0-9a-f]{32}\n$/);
    await start();
    expect(await identity()).toBe(first);
  });

  it('runs another command as it is', async () => {
    expect(await start({ command: ['sh', '-c', 'echo "$0"; ls /run/kvci 2> /dev/null || echo nothing', 'one word'] })).toBe(
      'one word\nnothing\n',
    );
  });

  it('says that a node has to be privileged', async () => {
    const command = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', 'sh', '/usr/libexec/kvci/entrypoint', '/sbin/init'] as const;
    await expect(box.run([...command])).rejects.toThrow('a node has to be a privileged container');
  });
});
