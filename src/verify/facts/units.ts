import { shellLine } from '../../core/shell.ts';
import { answerTo, command, linesOf, shown } from '../ask.ts';
import type { Expectations } from '../expectations.ts';
import type { Finding, Look, NodeKind, Question, StateFact } from '../types.ts';

const PRESET = '/usr/lib/systemd/system-preset/20-kvci.preset';
const KUBELET = 'kubelet.service';
const KUBELET_DROP_IN = '/usr/lib/systemd/system/kubelet.service.d/20-kvci.conf';

/** Ends when the boot does, so that everything after it sees a system that stands. */
export const SYSTEM: Question = command('system', 'systemctl', 'is-system-running', '--wait');

const FAILED = command('failed-units', 'systemctl', 'list-units', '--failed', '--plain', '--no-legend', '--full');

const PROPERTIES = [
  'Id',
  'LoadState',
  'ActiveState',
  'Type',
  'Result',
  'ConditionResult',
  'ConditionTimestampMonotonic',
  'InactiveExitTimestampMonotonic',
  'UnitFileState',
  'NRestarts',
] as const;

type Property = (typeof PROPERTIES)[number];
type Unit = Readonly<Partial<Record<Property, string>>>;

/** Units that the image enables, as its preset says, and the kubelet's. */
const UNITS: Question = {
  name: 'units',
  script: `set -- ${KUBELET}; while read -r verb unit; do if [ "$verb" = enable ] && [ "$unit" != ${KUBELET} ]; then set -- "$@" "$unit"; fi; done <${PRESET}; systemctl show --property=${PROPERTIES.join(',')} -- "$@"`,
};

/** Blocks of `systemctl show`. */
export function parseUnits(text: string): readonly Unit[] {
  return text
    .trim()
    .split(/\n\s*\n/)
    .map(
      (block) =>
        Object.fromEntries(linesOf({ text: block }).map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)])) as Unit,
    );
}

function unitsOf(look: Look): readonly Unit[] {
  return parseUnits(answerTo(look, UNITS).text);
}

const system: StateFact = {
  id: 'units-failed',
  title: 'the boot ends, and no unit has failed',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [SYSTEM, FAILED],
  *check(look) {
    for (const line of linesOf(answerTo(look, FAILED))) {
      const [unit = ''] = line.trim().split(/\s+/);
      yield { expected: `${unit} does not fail`, seen: line.trim(), file: `/usr/lib/systemd/system/${unit}` };
    }
    const state = answerTo(look, SYSTEM).text.trim();
    if (!/^(running|degraded)$/.test(state)) yield { expected: 'systemd is running', seen: state, file: '/usr/lib/systemd/system' };
  },
};

/** Without these a node is none, whatever their conditions say. */
const ESSENTIAL: Readonly<Record<NodeKind, RegExp>> = {
  container: /^(containerd|crio)\.service$/,
  machine: /^(containerd|crio|sshd?|systemd-networkd|NetworkManager|systemd-resolved)\.service$/,
};

/** Why a unit that the image enables is not as it should be; undefined when it is. */
export function unitProblem(unit: Unit, kind: NodeKind): string | undefined {
  const { Id = '', LoadState = '', ActiveState = '', Result = '' } = unit;
  if (LoadState === 'masked' && kind === 'container') return undefined;
  if (LoadState !== 'loaded') return LoadState;
  if (ActiveState === 'active') return undefined;
  const asked = (property: Property): boolean => (unit[property] ?? '0') !== '0';
  const unmet = unit.ConditionResult === 'no' && asked('ConditionTimestampMonotonic');
  if (ActiveState === 'inactive' && unmet && !ESSENTIAL[kind].test(Id)) return undefined;
  const done = unit.Type === 'oneshot' && Result === 'success' && asked('InactiveExitTimestampMonotonic');
  return ActiveState === 'inactive' && done ? undefined : `${ActiveState}, ${unmet ? 'its condition is not met' : `result ${Result}`}`;
}

const enabled: StateFact = {
  id: 'units-active',
  title: 'units that the image enables are active, or have nothing to do',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [UNITS],
  *check(look, { kind }) {
    for (const unit of unitsOf(look)) {
      const problem = unit.Id === KUBELET ? undefined : unitProblem(unit, kind);
      if (problem !== undefined) yield { expected: `${unit.Id ?? ''} is active`, seen: problem, file: PRESET };
    }
  },
};

const waits: StateFact = {
  id: 'kubelet-waits',
  title: 'the kubelet is enabled and waits for its configuration',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [UNITS],
  *check(look) {
    const unit = unitsOf(look).find(({ Id }) => Id === KUBELET);
    if (unit?.LoadState !== 'loaded') {
      yield { expected: `a unit ${KUBELET}`, seen: unit?.LoadState ?? 'nothing', file: '/usr/lib/systemd/system/kubelet.service' };
      return;
    }
    const { ActiveState = '', UnitFileState = '', NRestarts = '', ConditionResult, ConditionTimestampMonotonic = '0' } = unit;
    if (UnitFileState !== 'enabled') yield { expected: `${KUBELET} is enabled`, seen: UnitFileState, file: PRESET };
    if (ActiveState !== 'inactive' || NRestarts !== '0' || ConditionResult !== 'no' || ConditionTimestampMonotonic === '0') {
      const seen = `${ActiveState}, ${NRestarts} restarts, condition ${ConditionTimestampMonotonic === '0' ? 'never asked' : (ConditionResult ?? '')}`;
      yield { expected: 'inactive, its condition asked and not met', seen, file: KUBELET_DROP_IN };
    }
  },
};

function ownUnits({ units }: Expectations): Question {
  return { name: 'own-units', script: `systemctl show --property=ActiveState --value -- ${shellLine(Object.keys(units))}` };
}

const own: StateFact = {
  id: 'units-expected',
  title: 'units that the file of expectations names are as it says',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: (expected) => (Object.keys(expected.units).length === 0 ? [] : [ownUnits(expected)]),
  *check(look, expected): Generator<Finding> {
    const wanted = Object.entries(expected.units);
    if (wanted.length === 0) return;
    const answer = answerTo(look, ownUnits(expected));
    const states = linesOf(answer);
    for (const [index, [unit, state]] of wanted.entries()) {
      if (states[index] !== state)
        yield { expected: `${unit} is ${state}`, seen: states[index] ?? shown(answer), file: `/usr/lib/systemd/system/${unit}` };
    }
  },
};

export const UNIT_FACTS: readonly StateFact[] = [system, enabled, waits, own];
