import { expect, test } from 'vitest';

import { sandboxRecordSchema } from './record-schema.ts';
import { type SandboxRecord, toolsOf } from './types.ts';

const old: SandboxRecord = { name: 'x', pid: 7, startTime: 'boot/1', namespace: 'pid:[1]', network: 'private', tools: '/tools' };
const container: SandboxRecord = { kind: 'container', name: 'x', id: 'a1', engine: '/e.sock', network: 'private', folder: '/run/a1' };

test.each<[string, SandboxRecord, string | undefined]>([
  ['of a version that knew one kind only', old, '/tools'],
  ['of namespaces', { ...old, kind: 'namespaces' }, '/tools'],
  ['of a container', container, undefined],
  ['of a container in which commands are somebody', { ...container, user: { uid: 1000, gid: 100 } }, undefined],
])('a record %s is read as it was written', (_what, record, tools) => {
  expect(sandboxRecordSchema.parse(JSON.parse(JSON.stringify(record)))).toEqual(record);
  expect(toolsOf(record)).toBe(tools);
});

test.each<[string, object]>([
  ['of another kind', { ...container, kind: 'jail' }],
  ['of a container without an engine', { ...container, engine: undefined }],
  ['of nothing', {}],
])('a record %s is refused', (_what, record) => {
  expect(sandboxRecordSchema.safeParse(record).success).toBe(false);
});
