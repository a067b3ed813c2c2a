import { resolve } from 'node:path';

import { KvciError, messageOf } from '../../core/errors.ts';
import { writeFileAtomic } from '../../host/files.ts';
import { timelinePage } from '../../report/timeline-html.ts';
import { timelineText } from '../../report/timeline-text.ts';
import type { CommandModule } from '../command.ts';

export const timeline: CommandModule = {
  examples: [
    { line: 'timeline', what: 'where the time of the last run on the only cluster went' },
    { line: 'timeline lab --html lab.html', what: 'all recorded runs of "lab" as a page for a browser' },
    { line: 'timeline 20261123 --output json', what: 'the newest image build of that day, for scripts' },
  ],
  define: (command, act) =>
    command
      .argument('[run]', 'a cluster, or the beginning of the name of another run (default: the only cluster, else the newest run)')
      .option('--html <file>', 'draw it as a page that needs nothing else')
      .action(
        act<[string | undefined], { readonly html?: string }>(async (context, flags, [name]) => {
          const { name: found, runs } = await (await context.services.cluster()).runs(name);
          if (flags.html === undefined) return { data: { name: found, runs }, text: ({ columns }) => timelineText(runs[0], columns) };
          const file = resolve(context.cwd, flags.html);
          try {
            await writeFileAtomic(file, timelinePage(`kvci timeline: ${found}`, runs));
          } catch (error) {
            throw new KvciError('usage', 'bad-flag', `--html: ${file} cannot be written: ${messageOf(error)}`, {
              facts: { flag: '--html', file },
              cause: error,
            });
          }
          return { data: { name: found, file, runs: runs.length }, text: () => file };
        }),
      ),
};
