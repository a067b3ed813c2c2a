import { expect, it } from 'vitest';

import type { Schedule } from '../machine/types.ts';
import type { NodeState } from './state.ts';
import { leadersOf, Turns } from './turns.ts';

function nodes(controlPlanes: number, workers: number, joined: readonly number[] = []): readonly NodeState[] {
  return Array.from({ length: controlPlanes + workers }, (_, at) => ({
    name: `node0${at + 1}`,
    index: at + 1,
    role: at < controlPlanes ? 'control-plane' : 'worker',
    labels: {},
    joined: joined.includes(at + 1),
  }));
}

function mixed(controlPlanes: number, workers: number, machines: readonly number[]): readonly NodeState[] {
  return nodes(controlPlanes, workers).map((node) => ({ ...node, provider: machines.includes(node.index) ? 'vm' : 'kind' }));
}

/** Who has booted, in order, when each boot, the API and each join take no time. */
class Run {
  readonly booted: string[] = [];
  readonly gaveUp: string[] = [];
  readonly turns: Turns;
  readonly stop = new AbortController();
  constructor(schedule: Schedule, all: readonly NodeState[]) {
    this.turns = new Turns(schedule, all, this.stop.signal);
    for (const node of all) {
      this.turns.of(node).then(
        () => {
          this.booted.push(node.name);
          this.turns.booted(node);
        },
        () => this.gaveUp.push(node.name),
      );
    }
  }
  async seen(): Promise<readonly string[]> {
    await new Promise(setImmediate);
    return this.booted;
  }
}

it('all at once', async () => {
  expect(await new Run('together', nodes(1, 2)).seen()).toEqual(['node01', 'node02', 'node03']);
});

it('in turn: the others follow when the API serves, each after the one before it has joined', async () => {
  const run = new Run('in-turn', nodes(1, 2));
  expect(await run.seen()).toEqual(['node01']);
  run.turns.serves();
  expect(await run.seen()).toEqual(['node01', 'node02']);
  run.turns.joined({ name: 'node02' });
  expect(await run.seen()).toEqual(['node01', 'node02', 'node03']);
});

it('in turn: control planes that are members do not wait for an API that only they can serve', async () => {
  const run = new Run('in-turn', nodes(3, 1, [2, 3, 4]));
  expect(await run.seen()).toEqual(['node02', 'node03']);
  run.turns.serves();
  expect(await run.seen()).toEqual(['node02', 'node03', 'node01']);
});

it('machines in turn: the first boots beside the containers, each of the others when the one before it has joined', async () => {
  const run = new Run('machines-in-turn', mixed(1, 4, [2, 4, 5]));
  expect(await run.seen()).toEqual(['node01', 'node02', 'node03']);
  run.turns.joined({ name: 'node02' });
  expect((await run.seen()).slice(3)).toEqual(['node04']);
  run.turns.joined({ name: 'node04' });
  expect((await run.seen()).slice(4)).toEqual(['node05']);
});

it('machines in turn: the others follow one that is to serve the API when that serves', async () => {
  const run = new Run('machines-in-turn', mixed(1, 2, [1, 3]));
  expect(await run.seen()).toEqual(['node01', 'node02']);
  run.turns.serves();
  expect((await run.seen()).slice(2)).toEqual(['node03']);
});

it('in turn: nobody waits for a run that has ended', async () => {
  const run = new Run('in-turn', nodes(1, 2));
  await run.seen();
  run.stop.abort();
  await run.seen();
  expect(run.gaveUp.toSorted()).toEqual(['node02', 'node03']);
});

it('a new cluster is led by its first control plane', () => {
  expect(leadersOf(nodes(3, 1)).map(({ name }) => name)).toEqual(['node01']);
  expect(leadersOf(nodes(3, 1, [2])).map(({ name }) => name)).toEqual(['node02']);
});
