import { answerTo, file, linesOf, shown } from '../ask.ts';
import type { Question, StateFact } from '../types.ts';

const OSTREE: Question = { name: 'ostree', script: '[ -e /run/ostree-booted ] && ostree admin status' };

/** Exit code 127 where the image has no bootc: images of Debian packages have none. */
const BOOTC: Question = { name: 'bootc', script: 'command -v bootc >/dev/null || exit 127; bootc status --format json' };

const COMMAND_LINE = file('/proc/cmdline');

const deployment: StateFact = {
  id: 'deployment',
  title: 'the node was booted from a deployment that ostree, and bootc where it is there, knows',
  on: ['machine'],
  when: 'each-boot',
  asks: () => [OSTREE, BOOTC, COMMAND_LINE],
  *check(look) {
    const ostree = answerTo(look, OSTREE);
    if (ostree.exitCode !== 0 || !linesOf(ostree).some((line) => line.startsWith('* ')))
      yield { expected: 'ostree admin status marks the booted deployment', seen: shown(ostree), file: '/usr/lib/modules' };
    const bootc = answerTo(look, BOOTC);
    if (bootc.exitCode !== 0 && bootc.exitCode !== 127)
      yield { expected: 'bootc status answers', seen: shown(bootc), file: '/usr/lib/bootc' };
    const words = answerTo(look, COMMAND_LINE).text.trim().split(/\s+/);
    if (!words.some((word) => word.startsWith('ostree=')))
      yield { expected: 'a kernel argument ostree=', seen: words.join(' '), file: '/usr/lib/bootc/kargs.d' };
  },
};

export const DEPLOYMENT_FACTS: readonly StateFact[] = [deployment];
