import { describe, expect, it } from 'vitest';

import { innerConfig, NO_ROUTES, outerConfig, type Routes } from './haproxy.ts';

const routes: Routes = {
  forwards: { api: { port: 40001, targets: [{ address: 'fd00::11', port: 6443 }] } },
  balances: {
    6443: {
      addresses: ['10.89.1.1', 'fd00::1'],
      targets: [
        { address: '10.89.1.11', port: 6443 },
        { address: '10.89.1.12', port: 6443 },
      ],
    },
  },
  reaches: { 5000: { addresses: ['10.89.1.1', 'fd00::1'], hostPort: 25000 } },
};

/** What listens where and leads where, without the settings that all have. */
function listeners(text: string | undefined): readonly string[] {
  return (text ?? '')
    .slice(text?.indexOf('listen '))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

describe('load balancers', () => {
  it('in the network of nodes', () => {
    const check = 'check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions';
    expect(listeners(innerConfig(routes, '/run/c'))).toEqual([
      'listen api',
      'balance roundrobin',
      'bind unix@/run/c/api.sock mode 600',
      'server target0 [fd00::11]:6443',
      'listen port-6443',
      'balance roundrobin',
      'bind 10.89.1.1:6443',
      'bind [fd00::1]:6443',
      `server target0 10.89.1.11:6443 ${check}`,
      `server target1 10.89.1.12:6443 ${check}`,
      'listen reach-5000',
      'bind 10.89.1.1:5000',
      'bind [fd00::1]:5000',
      'server outer unix@/run/c/reach-5000.sock',
    ]);
  });

  it("in the host's", () => {
    expect(listeners(outerConfig(routes, '/run/c'))).toEqual([
      'listen api',
      'bind 127.0.0.1:40001',
      'server inner unix@/run/c/api.sock',
      'listen reach-5000',
      'bind unix@/run/c/reach-5000.sock mode 600',
      'server host 127.0.0.1:25000',
    ]);
  });

  it('with nothing to listen for there is none', () => {
    expect(innerConfig(NO_ROUTES, '/run/c')).toBeUndefined();
    expect(outerConfig({ ...routes, forwards: {}, reaches: {} }, '/run/c')).toBeUndefined();
  });
});
