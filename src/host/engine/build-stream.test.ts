import { describe, expect, it } from 'vitest';

import { EngineStream } from './build-stream.ts';

/** Feeds messages as an engine sends them, in chunks of `size` bytes, and answers lines and outcome. */
function follow(
  messages: readonly (object | string)[],
  size = Number.MAX_SAFE_INTEGER,
): { lines: string[]; outcome: EngineStream['outcome'] } {
  const bytes = Buffer.from(messages.map((message) => `${typeof message === 'string' ? message : JSON.stringify(message)}\r\n`).join(''));
  const stream = new EngineStream();
  const lines: string[] = [];
  for (let start = 0; start < bytes.length; start += size) lines.push(...stream.push(bytes.subarray(start, start + size)));
  lines.push(...stream.end());
  return { lines, outcome: stream.outcome };
}

const DOCKER_STEP = [{ stream: 'Step 2/2 : RUN make ü && exit 3' }, { stream: '\n' }, { stream: ' ---> Running in 17a33224acb1\n' }];
const BUILDAH_STEP = [{ stream: 'STEP 2/2: RUN make ü && exit 3\n' }];

describe('a failed build', () => {
  const cases: readonly (readonly [string, readonly (object | string)[], string])[] = [
    [
      'docker, both members',
      [
        ...DOCKER_STEP,
        { stream: 'one\n' },
        { stream: '\u001b[91mtwo\n\u001b[0m' },
        { stream: 'Removing intermediate container 17a33224acb1\n' },
        {
          errorDetail: { code: 3, message: "The command '/bin/sh -c make ü && exit 3' returned a non-zero code: 3" },
          error: "The command '/bin/sh -c make ü && exit 3' returned a non-zero code: 3",
        },
      ],
      'exit code 3',
    ],
    ['only error', [...DOCKER_STEP, { stream: 'one\ntwo\n' }, { error: 'boom' }], 'boom'],
    [
      'buildah, only errorDetail',
      [
        ...BUILDAH_STEP,
        { stream: 'one\n' },
        { stream: 'two\n' },
        { errorDetail: { message: 'building at STEP "RUN make ü && exit 3": while running runtime: exit status 3\n' } },
      ],
      'while running runtime: exit status 3',
    ],
    [
      'buildah, the error is wrapped again',
      [
        ...BUILDAH_STEP,
        { stream: 'one\ntwo\n' },
        { error: 'Error: building at STEP "RUN make ü && exit 3": while running runtime: exit status 3' },
      ],
      'while running runtime: exit status 3',
    ],
    [
      'buildah, the step was never printed',
      [{ stream: 'one\ntwo\n' }, { errorDetail: { message: 'building at STEP "RUN make ü && exit 3": exit status 3' } }],
      'exit status 3',
    ],
    ['an error without words', [...BUILDAH_STEP, { stream: 'one\ntwo\n' }, { errorDetail: {} }], 'the engine named no reason'],
  ];

  for (const size of [1, 7, Number.MAX_SAFE_INTEGER]) {
    it.each(cases)(`%s (chunks of ${size} bytes)`, (_name, messages, failure) => {
      expect(follow(messages, size).outcome).toEqual({
        failure,
        built: false,
        instruction: 'RUN make ü && exit 3',
        lastLines: ['one', 'two'],
      });
    });
  }

  it("leaves buildah's inner state out, and the build arguments with it", () => {
    const state = '&imagebuilder.Step{Env:[]string{"HTTP_PROXY=http://u:pw@proxy:3128"}, Command:"foo", Original:"FOO bar"}';
    const { lines, outcome } = follow([
      { stream: 'STEP 1/2: FROM a\n' },
      { stream: `time="2026-11-23T03:08:04Z" level=error msg="+(UNHANDLED LOGLEVEL) ${state.replaceAll('"', '\\"')}"\n` },
      { errorDetail: { message: `building at STEP "FOO ": Build error: Unknown instruction: "FOO" ${state}` } },
    ]);
    expect(lines).toEqual(['STEP 1/2: FROM a']);
    expect(outcome).toEqual({ failure: 'Build error: Unknown instruction: "FOO"', built: false, instruction: 'FOO', lastLines: [] });
  });

  it('stays failed when the stream goes on as if nothing was', () => {
    const { outcome } = follow([...DOCKER_STEP, { error: 'boom' }, { stream: 'Successfully built 0123456789ab\n' }]);
    expect(outcome).toMatchObject({ failure: 'boom', built: false });
  });

  it('keeps the last 20 lines of the failing instruction only', () => {
    const output = Array.from({ length: 30 }, (_, index) => ({ stream: `line ${index}\n` }));
    const { outcome } = follow([{ stream: 'STEP 1/2: RUN a\n' }, { stream: 'old\n' }, ...BUILDAH_STEP, ...output, { error: 'boom' }]);
    expect(outcome.lastLines).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 10}`));
  });
});

describe('a stream that was cut off', () => {
  it.each([
    ['after a whole message', [...DOCKER_STEP, { stream: 'one\n' }], ['one']],
    ['inside a message', [...DOCKER_STEP, { stream: 'one\n' }, '{"stream":"tw'], ['one', '{"stream":"tw']],
  ])('%s is neither built nor failed', (_name, messages, lastLines) => {
    expect(follow(messages).outcome).toEqual({ failure: undefined, built: false, instruction: 'RUN make ü && exit 3', lastLines });
  });
});

describe('a successful build', () => {
  it.each([
    ['docker', [...DOCKER_STEP, { stream: 'one\n' }, { aux: { ID: 'sha256:59' } }, { stream: 'Successfully built 599e50537e4e\n' }]],
    ['podman', [...BUILDAH_STEP, { stream: 'one\n' }, { stream: 'COMMIT t\n' }, { stream: 'Successfully built 599e50537e4e\n' }]],
    ['an id alone', [...BUILDAH_STEP, { aux: { ID: 'sha256:59' } }]],
  ])('%s', (_name, messages) => {
    expect(follow(messages).outcome).toMatchObject({ failure: undefined, built: true });
  });

  it.each(['STEP 3/7: COPY a b', 'STEP 3: COPY a b', '[1/2] STEP 3/7: COPY a b', 'Step 3/7 : COPY a b'])(
    'knows the instruction of %s',
    (line) => {
      expect(follow([{ stream: `${line}\n` }]).outcome.instruction).toBe('COPY a b');
    },
  );
});

it('joins pieces of a line and leaves progress bars out', () => {
  const { lines } = follow([
    { stream: 'a' },
    { stream: 'b\nc' },
    { status: 'Downloading', progressDetail: { current: 1, total: 2 }, progress: '[=>]', id: '01' },
    { status: 'Pull complete', progressDetail: {}, id: '01' },
    { status: 'Digest: sha256:00' },
    '<html>bad gateway</html>',
  ]);
  expect(lines).toEqual(['ab', '01: Pull complete', 'Digest: sha256:00', '<html>bad gateway</html>', 'c']);
});
