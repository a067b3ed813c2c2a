import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';

import type { ExecRequest } from '../../host/engine/containers.ts';
import type { SshConnection } from '../../host/ssh.ts';
import { SshSessions } from './ssh-sessions.ts';

const NEVER = new AbortController().signal;
const request = (): ExecRequest => ({ argv: ['true'], env: {}, stdout: new PassThrough(), stderr: new PassThrough() });

/** A server whose commands run until they are let go; counts how many run at once on each connection. */
function server(refused = 0) {
  const connections: { most: number; running: number; alive: boolean; closed: boolean }[] = [];
  let attempts = 0;
  const waiting: (() => void)[] = [];
  const connect = async (): Promise<SshConnection> => {
    attempts += 1;
    await Promise.resolve();
    if (attempts <= refused) throw new Error('refused');
    const state = { most: 0, running: 0, alive: true, closed: false };
    connections.push(state);
    return {
      get alive() {
        return state.alive;
      },
      get busy() {
        return state.running;
      },
      closed: Promise.resolve(),
      exec: async () => {
        state.running += 1;
        state.most = Math.max(state.most, state.running);
        await new Promise<void>((resolve) => waiting.push(resolve));
        state.running -= 1;
        return 0;
      },
      [Symbol.asyncDispose]: () => {
        state.closed = true;
        return Promise.resolve();
      },
    };
  };
  const letGo = async (count: number): Promise<void> => {
    for (let done = 0; done < count;) {
      const next = waiting.shift();
      next?.();
      if (next !== undefined) done += 1;
      else await new Promise((resolve) => void setImmediate(resolve));
    }
  };
  return { connect, connections, letGo };
}

describe('SSH sessions', () => {
  it('share connections, as many as commands at once take', async () => {
    const { connect, connections, letGo } = server();
    const sessions = new SshSessions(connect);
    const commands = Array.from({ length: 20 }, () => sessions.exec(request()));
    await letGo(20);
    expect(await Promise.all(commands)).toEqual(Array.from({ length: 20 }, () => 0));
    expect(connections.map(({ most }) => most)).toEqual([8, 8, 4]);
    const another = sessions.exec(request());
    await letGo(1);
    await another;
    expect(connections).toHaveLength(3);
    await sessions[Symbol.asyncDispose]();
    expect(connections.every(({ closed }) => closed)).toBe(true);
  });

  it('are made anew when they are lost', async () => {
    const { connect, connections } = server();
    const sessions = new SshSessions(connect);
    await sessions.ready(NEVER);
    await sessions.ready(NEVER);
    expect(connections).toHaveLength(1);
    connections[0]!.alive = false;
    await sessions.ready(NEVER);
    expect(connections).toHaveLength(2);
  });

  it('tell whoever connects that it failed; those who waited for it try by themselves', async () => {
    const { connect, connections } = server(1);
    const sessions = new SshSessions(connect);
    const [first, second] = await Promise.allSettled([sessions.ready(NEVER), sessions.ready(NEVER)]);
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled']);
    expect(connections).toHaveLength(1);
    await expect(sessions.ready(AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
  });
});
