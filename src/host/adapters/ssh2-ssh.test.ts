import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, type AddressInfo } from 'node:net';
import { type Duplex, duplexPair, PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import ssh2 from 'ssh2';
import { afterAll, describe, expect, it } from 'vitest';

import { brokenSource } from '../../../test/fixtures/broken-source.ts';
import { noProcess, sleepSeconds } from '../../../test/fixtures/processes.ts';
import type { ExecRequest } from '../engine/containers.ts';
import type { SshConnection, SshTarget } from '../ssh.ts';
import { ssh2Ssh } from './ssh2-ssh.ts';

const NEVER = new AbortController().signal;
const HOST_KEY = ssh2Ssh.newKeyPair('host');
const USER_KEY = ssh2Ssh.newKeyPair('user');

const servers: ssh2.Server[] = [];

afterAll(() => {
  for (const server of servers) server.close();
});

/** A server that knows one user key and runs what it is told by a shell, as sshd does. */
function server(): { open: SshTarget['open']; hangUp: () => void } {
  const connections = new Set<ssh2.Connection>();
  const listening = new ssh2.Server({ hostKeys: [HOST_KEY.privateKey.reveal()] }, (connection) => {
    connections.add(connection);
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => {
      const known = ssh2.utils.parseKey(USER_KEY.publicKey);
      const given = context.method === 'publickey' ? context.key.data : undefined;
      if (!(known instanceof Error) && given?.equals(known.getPublicSSH()) === true) context.accept();
      else context.reject(['publickey']);
    });
    connection.on('session', (accept) => {
      serve(accept());
    });
  });
  servers.push(listening);
  const ready = once(listening.listen(0, '127.0.0.1'), 'listening');
  return {
    hangUp: () => {
      for (const connection of connections) connection.end();
    },
    open: async () => {
      await ready;
      return createConnection((listening.address() as AddressInfo).port, '127.0.0.1');
    },
  };
}

function serve(session: ssh2.Session): void {
  let size = '';
  session.on('pty', (take, _refuse, { cols, rows }) => {
    size = `${cols}x${rows}`;
    take();
  });
  session.on('exec', (take, _refuse, { command }) => {
    const channel = take();
    const child = spawn('sh', ['-c', command], { env: { ...process.env, SIZE: size } });
    session.on('window-change', (_accept, _reject, { cols, rows }) => void channel.write(`${cols}x${rows}\n`));
    channel.pipe(child.stdin);
    child.stdin.on('error', () => undefined);
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    child.on('close', (code) => {
      channel.exit(code ?? 1);
      channel.end();
    });
  });
}

function target(change: Partial<SshTarget> = {}): SshTarget {
  return { name: 'node01', user: 'root', key: USER_KEY, hostKey: HOST_KEY.publicKey, open: server().open, ...change };
}

async function run(connection: SshConnection, argv: ExecRequest['argv'], change: Partial<ExecRequest> = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const said = Promise.all([text(stdout), text(stderr)]);
  const code = await connection.exec({ argv, env: {}, stdout, stderr, ...change }).finally(() => {
    stdout.end();
    stderr.end();
  });
  const [out, err] = await said;
  return { code, out, err };
}

describe('an SSH connection', () => {
  it('runs commands as they are written, with both streams and an exit code', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    expect(
      await run(connection, ['sh', '-c', 'echo "$1 $A"; pwd; echo err >&2; exit 7', 'sh', '$(x)'], { env: { A: "'" }, cwd: '/' }),
    ).toEqual({
      code: 7,
      out: "$(x) '\n/\n",
      err: 'err\n',
    });
    expect(connection).toMatchObject({ alive: true, busy: 0 });
  });

  it('tells of a command that is not there', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    expect((await run(connection, ['no-such-command'])).code).toBe(127);
  });

  it('takes and gives as much as there is, many commands at once', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    const bytes = Buffer.alloc(3_000_000, 'x');
    const all = await Promise.all([1, 2, 3, 4].map(() => run(connection, ['cat'], { stdin: Readable.from([bytes]) })));
    for (const { code, out } of all) expect({ code, length: out.length }).toEqual({ code: 0, length: bytes.length });
  });

  it('tells of an input that breaks, once the command has had its end', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    for (const argv of [['cat'], ['sh', '-c', 'cat; exit 3']] as const) {
      await expect(run(connection, [...argv], { stdin: brokenSource('half') })).rejects.toThrow('the source broke');
    }
    expect(connection).toMatchObject({ alive: true, busy: 0 });
  });

  it('gives a terminal of a size that follows', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    const stdin = new PassThrough();
    const { out } = await run(connection, ['sh', '-c', 'echo $SIZE; read -r word; echo $word'], {
      stdin,
      terminal: { columns: 90, rows: 20 },
      onStart: (resize) => void resize({ columns: 91, rows: 21 }).then(() => stdin.end('go\n')),
    });
    expect(out.split('\n').toSorted()).toEqual(['', '90x20', '91x21', 'go']);
  });

  it('ends a cancelled command with all that it started', async () => {
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    const seconds = sleepSeconds();
    const controller = new AbortController();
    const stdout = new PassThrough();
    stdout.once('data', () => {
      controller.abort();
    });
    const argv = ['sh', '-c', 'sleep "$1" & echo started; sleep "$1"', 'sh', seconds] as const;
    const running = connection.exec({ argv, env: {}, stdout, stderr: new PassThrough(), signal: controller.signal });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    await noProcess(seconds);
    expect((await run(connection, ['echo', 'still there'])).out).toBe('still there\n');
  });

  it('that is cancelled while the server starts it ends, too', async () => {
    const seconds = sleepSeconds();
    await using connection = await ssh2Ssh.connect(target(), NEVER);
    const stop = new AbortController();
    const running = run(connection, ['sleep', seconds], { signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    await noProcess(seconds);
  });

  it('that is lost says so, to those that run and to those that come', async () => {
    const { open, hangUp } = server();
    await using connection = await ssh2Ssh.connect(target({ open }), NEVER);
    const running = run(connection, ['sh', '-c', 'echo x; sleep 2']);
    hangUp();
    await expect(running).rejects.toMatchObject({ code: 'ssh-lost' });
    await connection.closed;
    expect(connection.alive).toBe(false);
    await expect(run(connection, ['true'])).rejects.toMatchObject({ code: 'ssh-lost' });
  });
});

it('every new key pair can be read', () => {
  // Of the library's own, one in 256 cannot.
  const pairs = Array.from({ length: 1000 }, () => ssh2Ssh.newKeyPair('kvci'));
  const read = pairs.flatMap(({ privateKey, publicKey }) => [privateKey.reveal(), publicKey].map((text) => ssh2.utils.parseKey(text)));
  expect(read.filter((key) => key instanceof Error)).toEqual([]);
});

describe('no SSH connection', () => {
  it('to a machine that has another host key', async () => {
    const other = ssh2Ssh.newKeyPair('other').publicKey;
    await expect(ssh2Ssh.connect(target({ hostKey: other }), NEVER)).rejects.toMatchObject({ code: 'host-key-differs' });
    await using first = await ssh2Ssh.connect(target({ hostKey: undefined }), NEVER);
    expect(first.alive).toBe(true);
  });

  it('with a key that is not believed', async () => {
    await expect(ssh2Ssh.connect(target({ key: ssh2Ssh.newKeyPair('nobody') }), NEVER)).rejects.toMatchObject({ code: 'ssh-refused' });
  });

  it('where nobody answers', async () => {
    const hangsUp: SshTarget['open'] = () => {
      const [ours, theirs] = duplexPair();
      theirs.end();
      return Promise.resolve(ours);
    };
    await expect(ssh2Ssh.connect(target({ open: hangsUp }), NEVER)).rejects.toMatchObject({ code: 'ssh-unreachable' });
    const refuses: SshTarget['open'] = () => Promise.reject(new Error('refused'));
    await expect(ssh2Ssh.connect(target({ open: refuses }), NEVER)).rejects.toMatchObject({ code: 'ssh-unreachable' });
  });

  it('for whoever does not wait', async () => {
    const silent: SshTarget['open'] = () => Promise.resolve(duplexPair()[0]);
    await expect(ssh2Ssh.connect(target({ open: silent }), AbortSignal.timeout(50))).rejects.toMatchObject({ code: 'cancelled' });
    const stop = new AbortController();
    const opening = async (): Promise<Duplex> => {
      stop.abort();
      return silent();
    };
    await expect(ssh2Ssh.connect(target({ open: opening }), stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
  });
});
