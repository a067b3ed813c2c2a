import { describe, expect, it } from 'vitest';

import type { Clock } from '../../core/clock.ts';
import { cancelled } from '../../core/errors.ts';
import { Secret } from '../../core/secrets.ts';
import { observePod } from '../../host/kubernetes-view.ts';
import { untilSigned } from './signed.ts';

const TOKEN = new Secret('abcdef.0123456789abcdef');

/** Time is up when `late` says so. */
function clockOf(late: Promise<void>): Clock {
  return { now: () => 0, monotonic: () => 0, wait: () => late };
}

function apiOf(data: Readonly<Record<string, string>>) {
  const signer = observePod({
    metadata: { name: 'kube-controller-manager-node01', namespace: 'kube-system' },
    spec: { nodeName: 'node01' },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'False', message: 'back-off' }] },
  });
  return {
    untilConfigMap: (_map: object, wanted: (data: Readonly<Record<string, string>>) => boolean, signal: AbortSignal) =>
      wanted(data)
        ? Promise.resolve()
        : new Promise<void>((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reject(cancelled(signal));
            });
          }),
    view: () => Promise.resolve({ nodes: [], pods: [signer] }),
    podLog: () => Promise.resolve('cannot listen\n'),
  };
}

describe('the information that nodes join by', () => {
  const never = new Promise<void>(() => undefined);
  const { signal } = new AbortController();

  it('is signed when it has the signature of the very token', async () => {
    await untilSigned(TOKEN, apiOf({ 'jws-kubeconfig-abcdef': 'x' }), { clock: clockOf(never), signal });
  });

  it('that is not signed in time is told with what its signer says', async () => {
    const late = untilSigned(TOKEN, apiOf({ 'jws-kubeconfig-ghijkl': 'x' }), { clock: clockOf(Promise.resolve()), signal });
    await expect(late).rejects.toMatchObject({
      reason: 'timedOut',
      code: 'not-signed',
      message: expect.stringMatching(/pod kube-controller-manager-node01: back-off[^]*cannot listen/) as string,
    });
  });

  it('is not waited for by whoever is cancelled', async () => {
    const abort = new AbortController();
    const waiting = untilSigned(TOKEN, apiOf({}), { clock: clockOf(never), signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });
});
