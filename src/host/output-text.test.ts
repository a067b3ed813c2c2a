import { finished } from 'node:stream/promises';
import { expect, it } from 'vitest';

import { OutputText } from './output-text.ts';

it('keeps the text and hands on its lines, whatever the chunks', async () => {
  const lines: string[] = [];
  const output = new OutputText({ keep: true, onLine: (line) => lines.push(line) });
  const bytes = Buffer.from('one\r\ntwö\n\nrest');
  for (const byte of bytes) output.write(Buffer.from([byte]));
  output.end();
  await finished(output);
  expect(lines).toEqual(['one', 'twö', '', 'rest']);
  expect(output.text).toBe('one\r\ntwö\n\nrest');
});

it('keeps nothing that goes elsewhere', async () => {
  const output = new OutputText({ keep: false });
  output.end('much');
  await finished(output);
  expect(output.text).toBe('');
});
