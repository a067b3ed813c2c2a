import { describe, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import type { Event } from '../core/events.ts';
import { chooseConverter } from './choose.ts';
import type { ConverterName, DiskConverter, DiskRequest } from './types.ts';

function converter(name: ConverterName, problem?: string): DiskConverter {
  return {
    name,
    unfit: () => Promise.resolve(problem === undefined ? undefined : new KvciError('hostNotReady', `no-${name}`, problem)),
    identity: () => Promise.resolve(name),
    convert: () => Promise.reject(new Error('nothing is converted')),
  };
}

async function choose(
  name: ConverterName | 'auto',
  converters: readonly DiskConverter[],
): Promise<{ readonly chosen: string; readonly said: string }> {
  const events: Event[] = [];
  const signal = new AbortController().signal;
  const chosen = await chooseConverter(name, {} as DiskRequest, converters, (event) => events.push(event), signal);
  return { chosen: chosen.name, said: events.map((event) => (event.type === 'problem' ? event.message : '')).join() };
}

describe('the converter of a disk', () => {
  it('auto takes the first that can, and says so', async () => {
    expect(await choose('auto', [converter('native'), converter('image-builder')])).toEqual({
      chosen: 'native',
      said: 'converter: native, the first that can make this disk here',
    });
  });

  it('auto says why it does not take one before', async () => {
    expect(await choose('auto', [converter('native', 'it makes ext4'), converter('bootc-image-builder')])).toEqual({
      chosen: 'bootc-image-builder',
      said: 'converter: bootc-image-builder, because native cannot: it makes ext4',
    });
  });

  it('one that is named is taken without a word', async () => {
    expect(await choose('image-builder', [converter('native'), converter('image-builder')])).toEqual({ chosen: 'image-builder', said: '' });
  });

  it('one that is named and cannot is refused for its own reason', async () => {
    await expect(choose('image-builder', [converter('native'), converter('image-builder', 'no engine')])).rejects.toMatchObject({
      code: 'no-image-builder',
      reason: 'hostNotReady',
    });
  });

  it('where none can, every reason is told', async () => {
    await expect(choose('auto', [converter('native', 'it makes ext4'), converter('image-builder', 'no engine')])).rejects.toMatchObject({
      code: 'no-converter',
      problems: [{ code: 'no-native' }, { code: 'no-image-builder' }],
    });
  });
});
