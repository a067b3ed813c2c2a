import { shellLine } from '../../core/shell.ts';
import { NEEDED_MODULES, NEEDED_SYSCTLS } from '../../image/check/facts/services.ts';
import { answerTo, linesOf } from '../ask.ts';
import type { Expectations } from '../expectations.ts';
import type { Question, StateFact } from '../types.ts';

const SYSCTL_FOLDER = '/usr/lib/sysctl.d';

/** A container has its own network's only; all others are the host's. */
function wantedSysctls({ kind, sysctls }: Expectations): Readonly<Record<string, string>> {
  const needed = Object.entries(NEEDED_SYSCTLS).filter(([key]) => kind === 'machine' || /^net\.ipv[46]\./.test(key));
  return { ...Object.fromEntries(needed), ...sysctls };
}

function pathOf(key: string): string {
  return key.includes('/') ? key : key.replaceAll('.', '/');
}

function sysctlQuestion(expected: Expectations): Question {
  const paths = Object.keys(wantedSysctls(expected)).map(pathOf);
  return { name: 'sysctls', script: `for path in ${shellLine(paths)}; do echo "$path $(show "/proc/sys/$path")"; done` };
}

const sysctls: StateFact = {
  id: 'sysctls',
  title: 'the kernel is set as a cluster network needs it',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: (expected) => [sysctlQuestion(expected)],
  *check(look, expected) {
    const values = new Map(
      linesOf(answerTo(look, sysctlQuestion(expected))).map((line) => {
        const [path = '', ...words] = line.trim().split(/\s+/);
        return [path, words.join(' ')];
      }),
    );
    for (const [key, wanted] of Object.entries(wantedSysctls(expected))) {
      const seen = values.get(pathOf(key)) ?? '';
      if (seen !== wanted.trim().replaceAll(/\s+/g, ' '))
        yield { expected: `${key} = ${wanted}`, seen: seen === '' ? 'it is not there' : seen, file: SYSCTL_FOLDER };
    }
  },
};

function moduleQuestion({ modules }: Expectations): Question {
  return {
    name: 'modules',
    // A built-in module without parameters has no folder below /sys.
    script: `builtin=$(show "/usr/lib/modules/$(show /proc/sys/kernel/osrelease)/modules.builtin"); builtin=\${builtin//-/_}; for name in ${shellLine([...NEEDED_MODULES, ...modules])}; do if [ -d "/sys/module/$name" ] || [[ $builtin == *"/$name.ko"* ]]; then echo "$name there"; else echo "$name missing"; fi; done`,
  };
}

const modules: StateFact = {
  id: 'modules',
  title: 'the kernel modules of a cluster network are loaded',
  on: ['machine'],
  when: 'each-boot',
  asks: (expected) => [moduleQuestion(expected)],
  *check(look, expected) {
    for (const line of linesOf(answerTo(look, moduleQuestion(expected)))) {
      const [name = '', state] = line.split(' ');
      if (state !== 'there') yield { expected: `${name} is loaded or built in`, seen: 'it is not', file: '/usr/lib/modules-load.d' };
    }
  },
};

/** Bash's own clock, as seconds with a fraction. */
const CLOCK: Question = { name: 'clock', script: 'echo "$EPOCHREALTIME"' };

const clock: StateFact = {
  id: 'clock',
  title: "the clock is right: it is this host's",
  on: ['machine'],
  when: 'each-boot',
  asks: () => [CLOCK],
  *check(look, { clock: tolerance }) {
    const answer = answerTo(look, CLOCK);
    const seconds = Number(answer.text.trim());
    const late = look.from / 1000 - seconds;
    const early = seconds - look.to / 1000;
    const off = Math.max(late, early);
    if (!(off <= tolerance)) {
      const seen = Number.isFinite(off) ? `${off.toFixed(1)} s ${late > early ? 'behind' : 'ahead'}` : answer.text.trim();
      yield { expected: `at most ${tolerance} s off`, seen, file: '/usr/lib/systemd/system/systemd-timesyncd.service' };
    }
  },
};

export const KERNEL_FACTS: readonly StateFact[] = [sysctls, modules, clock];
