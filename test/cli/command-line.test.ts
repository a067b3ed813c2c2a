import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { kvci, REPOSITORY, run, temporaryFolder } from './run-kvci.ts';

const packageJson = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { readonly version: string };

interface ErrorJson {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly exitCode: number;
    readonly facts: Record<string, unknown>;
    readonly problems?: readonly ErrorJson['error'][];
  };
}

describe('help and version', () => {
  test('--version prints the version alone', async () => {
    expect(await kvci(['--version'])).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
  });

  test('--version beside other flags says the same', async () => {
    expect((await kvci(['--output', 'json', '--version'])).stdout).toBe(`${packageJson.version}\n`);
  });

  test('no arguments print the help', async () => {
    const { code, stdout, stderr } = await kvci([]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('Usage: kvci [options] [command]');
  });

  test('a command shows its flags, the global ones and examples', async () => {
    const { code, stdout } = await kvci(['image', 'build', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: kvci image build [options]');
    expect(stdout).toContain('--k8s <version>');
    expect(stdout).toContain('--progress <how>');
    expect(stdout).toContain('  $ kvci image build --k8s 1.31 ');
  });

  test('NO_COLOR and a pipe leave no escape codes', async () => {
    const { stdout, stderr } = await kvci(['image', 'buidl'], { env: { NO_COLOR: '1' } });
    expect(stdout + stderr).not.toContain('\u001B');
  });
});

describe('usage errors', () => {
  test.each([
    { args: ['imgae'], code: 'unknown-command', hint: 'Did you mean image?' },
    { args: ['image', 'biuld'], code: 'unknown-command', hint: 'Did you mean build?' },
    { args: ['image', 'build', '--bsae', 'x'], code: 'unknown-flag', hint: 'Did you mean --base?' },
    { args: ['image'], code: 'missing-command', hint: '"kvci image --help" lists them.' },
    { args: ['image', 'inspect'], code: 'missing-argument', hint: '"kvci image inspect --help" shows what is possible.' },
    { args: ['image', 'inspect', 'a', 'b'], code: 'too-many-arguments', hint: '"kvci image inspect a b --help" shows what is possible.' },
    { args: ['completion', 'tcsh'], code: 'bad-argument', hint: '"kvci completion tcsh --help" shows what is possible.' },
    { args: ['cache', 'prune', '--keep', 'much'], code: 'bad-size', hint: 'Write a size as 512M, 10G or 4GiB.' },
    { args: ['image', 'build'], code: 'missing-version', hint: 'Give one with --k8s 1.31, or as image.k8s in kvci.yaml.' },
    { args: ['image', 'build', '--k8s', '1.9'], code: 'bad-flag', hint: '"kvci image build --help" says what each flag takes.' },
    { args: ['image', 'build', '--k8s', '1.31', '--label', 'x'], code: 'bad-flag', hint: null },
  ])('$args gives $code', async ({ args, code, hint }) => {
    const json = await kvci([...args, '--output', 'json']);
    expect(json.code).toBe(2);
    expect(json.stderr).toBe('');
    const { error } = JSON.parse(json.stdout) as ErrorJson;
    expect({ code: error.code, hint: error.hint, exitCode: error.exitCode }).toEqual({ code, hint, exitCode: 2 });
  });

  test('for people they stand on standard error, with the hint', async () => {
    expect(await kvci(['image', 'biuld'])).toEqual({
      code: 2,
      stdout: '',
      stderr: "kvci: unknown command 'biuld'\nhint: Did you mean build?\n",
    });
  });

  test('a flag value is refused by the name of its flag', async () => {
    const { stderr } = await kvci(['image', 'build', '--k8s', '1.31', '--file', 'x']);
    expect(stderr).toContain('kvci: --file: "x" is not of the form SRC:DST');
  });

  test('a value outside the choices lists them', async () => {
    const { code, stderr } = await kvci(['--output', 'yaml', 'version']);
    expect(code).toBe(2);
    expect(stderr).toContain('Allowed choices are text, json, junit.');
  });

  test('JUnit is for what has tests in it', async () => {
    const { code, stderr } = await kvci(['image', 'list', '--output', 'junit']);
    expect(code).toBe(2);
    expect(stderr).toContain('--output: "list" has no results for JUnit');
  });
});

describe('kvci.yaml', () => {
  test('every mistake is told at once with its place', async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, 'kvci.yaml'), 'image:\n  k8s: 1.31\n  bsae: debian-13\nengin: podman\n');
    const text = await kvci(['image', 'build'], { cwd: folder.path });
    expect(text).toEqual({
      code: 2,
      stdout: '',
      stderr: [
        'kvci: kvci.yaml has 3 mistakes:',
        '  - kvci.yaml:2:8: image.k8s: expected string, received number',
        '    hint: Write it in quotes: "1.31".',
        '  - kvci.yaml:3:3: image: unknown key "bsae"',
        '    hint: Did you mean "base"?',
        '  - kvci.yaml:4:1: unknown key "engin"',
        '    hint: Did you mean "engine"?',
        '',
      ].join('\n'),
    });
    const json = JSON.parse((await kvci(['image', 'build', '--output=json'], { cwd: folder.path })).stdout) as ErrorJson;
    expect(json.error.problems?.[0]).toMatchObject({ code: 'config-value', facts: { file: 'kvci.yaml', line: 2, column: 8 } });
  });

  test('a file that --config names has to be there', async () => {
    const { code, stderr } = await kvci(['image', 'build', '--config', 'nowhere.yaml']);
    expect(code).toBe(2);
    expect(stderr).toContain('nowhere.yaml cannot be read (ENOENT)');
  });
});

describe('results', () => {
  test('--output json prints one document', async () => {
    const { code, stdout, stderr } = await kvci(['version', '--output', 'json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ kvci: packageJson.version, platform: 'linux' });
  });

  test('a reader that stops early is no failure', async () => {
    const { code, stderr } = await run('bash', ['-o', 'pipefail', '-c', '"$0" config schema | true', join(REPOSITORY, 'kvci')]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('streams that fail', () => {
  test('a result that cannot be written is a failure', async () => {
    const { code, stderr } = await run('sh', ['-c', '"$0" version >/dev/full', join(REPOSITORY, 'kvci')]);
    expect(code).toBe(1);
    expect(stderr).toContain('kvci: the result cannot be written to standard output: ');
  });

  test('nobody to hear of errors changes no exit code', async () => {
    expect(await run('sh', ['-c', '"$0" image biuld 2>/dev/full', join(REPOSITORY, 'kvci')])).toMatchObject({ code: 2 });
    expect(await run('sh', ['-c', '"$0" image biuld 2>&-', join(REPOSITORY, 'kvci')])).toMatchObject({ code: 2 });
  });
});

describe('completion', () => {
  test.each([
    { shell: 'bash', check: ['bash', '-n'] },
    { shell: 'zsh', check: undefined },
    { shell: 'fish', check: undefined },
  ])('the script for $shell calls kvci', async ({ shell, check }) => {
    const { code, stdout } = await kvci(['completion', shell]);
    expect(code).toBe(0);
    expect(stdout).toContain('kvci complete -- ');
    if (check !== undefined) {
      await using folder = await temporaryFolder();
      const file = join(folder.path, 'script');
      await writeFile(file, stdout);
      expect(await run(check[0] ?? '', [...check.slice(1), file])).toMatchObject({ code: 0 });
    }
  });

  test.each([
    { words: ['image', 'bu'], candidates: ['build'] },
    { words: ['image', 'build', '--pay'], candidates: ['--payload'] },
    { words: ['image', 'build', '--offl'], candidates: ['--offline'] },
    { words: ['completion', ''], candidates: ['bash', 'zsh', 'fish'] },
    { words: ['--progress', ''], candidates: ['auto', 'tty', 'plain', 'json', 'none'] },
  ])('$words gives $candidates', async ({ words, candidates }) => {
    const { stdout } = await kvci(['complete', '--', ...words]);
    const given = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(':'));
    expect(given.map((line) => line.split('\t')[0])).toEqual(candidates);
  });

  test('bash completes through the script', async () => {
    const script = `
      PATH="$0:$PATH"; source <(kvci completion bash)
      # What the package bash-completion gives to every script.
      _get_comp_words_by_ref() { cur=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]}"); }
      COMP_WORDS=(kvci image ins); COMP_CWORD=2; COMP_LINE='kvci image ins'; COMP_POINT=\${#COMP_LINE}
      __kvci_complete; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run('bash', ['-c', script, REPOSITORY]);
    expect(stdout.trim()).toMatch(/^inspect/);
  });
});
