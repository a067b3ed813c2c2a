import { type ExitReason, KvciError } from '../../core/errors.ts';
import { lastLines } from '../../host/command-error.ts';
import type { JobOutcome } from '../../host/engine/jobs.ts';
import { lastStage } from './log-progress.ts';

/** A failure that a converter tells of in words only: its exit code is 1, whatever it is. */
interface FailureRule {
  /** Any of these in what it wrote, in whatever case: programs in Go write small letters where C has large ones. */
  readonly says: readonly string[];
  readonly reason: ExitReason;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/**
 * The stable words of contract D2, most telling first: what a stage ran into says more than that it failed. Most are found before a
 * conversion starts (`problems.ts`); they stand here for what changes in between, and for what only the converter can see.
 */
export const FAILURE_RULES: readonly FailureRule[] = [
  {
    says: ['No space left on device'],
    reason: 'hostNotReady',
    code: 'disk-full',
    message: 'the converter ran out of space',
    hint: "It may be the engine's storage, the cache, or memory, which holds what a converter keeps in /run: make room and run the command again.",
  },
  {
    says: ['this command must be run in rootful (not rootless) podman'],
    reason: 'hostNotReady',
    code: 'converter-engine-rootless',
    message: 'the converter says that the engine is rootless',
    hint: 'Start a rootful Podman: systemctl start podman.socket',
  },
  {
    says: ['this command requires a privileged container'],
    reason: 'hostNotReady',
    code: 'converter-not-privileged',
    message: 'the converter says that its container has no privileges',
    hint: 'Something between kvci and the engine, or a setting of it, takes --privileged away.',
  },
  {
    says: ['cannot run binary in target arch'],
    reason: 'hostNotReady',
    code: 'wrong-architecture',
    message: 'the converter cannot run programs of the image here',
    hint: 'Convert on a host of that architecture, or install qemu-user-static.',
  },
  {
    says: ['could not access container storage, did you forget -v /var/lib/containers/storage'],
    reason: 'hostNotReady',
    code: 'converter-storage-missing',
    message: "the converter does not see the engine's storage of images",
    hint: 'kvci and the engine must be on one host, and images be kept by overlay.',
  },
  {
    says: ['failed to inspect the image', 'no longer pulls images'],
    reason: 'failed',
    code: 'converter-lacks-image',
    message: "the converter does not find the node image in the engine's storage",
    hint: 'Something has removed it since kvci put it there: run the command again.',
  },
  {
    says: ['is not a bootc image'],
    reason: 'failed',
    code: 'not-a-bootc-image',
    message: 'the converter says that the image is not a bootc image',
    hint: 'Build one with "kvci image build", or add LABEL containers.bootc=1 to an image that boots.',
  },
  {
    says: ['unsupported root filesystem type'],
    reason: 'usage',
    code: 'converter-filesystem',
    message: 'the converter does not make such a root file system',
    hint: 'Use --filesystem ext4 or xfs.',
  },
  {
    says: ['missing required info: DefaultRootFs', 'no default fs set'],
    reason: 'failed',
    code: 'converter-no-default-filesystem',
    message: 'the converter asks the image for its file system, and it names none',
    hint: 'Set [install.filesystem.root] type in /usr/lib/bootc/install/ of the image.',
  },
  {
    says: ['cannot mix ISO/disk images', 'unsupported image type'],
    reason: 'failed',
    code: 'converter-image-type',
    message: 'the converter does not make disks of that kind',
    hint: 'Use another version of it.',
  },
  {
    says: ['chowning is not allowed in output directory', 'chown permission check failed for the output directory'],
    reason: 'hostNotReady',
    code: 'converter-chown',
    message: 'the converter cannot hand its disk to this user',
    hint: 'Put KVCI_CACHE_DIR on a file system that has owners, or run kvci as root.',
  },
];

/** What podman and shells answer for a program that cannot be started, and the shell's way to tell of SIGKILL. */
const NOT_STARTED = [125, 126, 127];
const KILLED = 137;

/**
 * Why a conversion failed.
 *
 * @param converter what ran, for people
 */
export function converterFailure(converter: string, { exitCode, outOfMemory, stdout, stderr }: JobOutcome): KvciError {
  const log = `${stdout}\n${stderr}`;
  const stage = lastStage(log);
  const facts = { exitCode, stage: stage ?? null };
  const told = (reason: ExitReason, code: string, message: string, hint: string): KvciError =>
    new KvciError(reason, code, [`${message}${stage === undefined ? '' : `, in its stage ${stage}`}`, lastLines(log)].join('\n'), {
      hint,
      facts,
    });
  if (outOfMemory) {
    return told(
      'hostNotReady',
      'converter-out-of-memory',
      `${converter} was ended: memory ran out`,
      'Give the host, or the engine, more memory.',
    );
  }
  if (exitCode === KILLED) {
    return told(
      'failed',
      'converter-killed',
      `${converter} was killed`,
      'Somebody else did that, or memory ran out: run the command again.',
    );
  }
  if (NOT_STARTED.includes(exitCode)) {
    return told(
      'failed',
      'converter-not-started',
      `${converter} could not be started (exit code ${exitCode})`,
      'Its image may be damaged: pull it anew.',
    );
  }
  const written = log.toLowerCase();
  const rule = FAILURE_RULES.find(({ says }) => says.some((words) => written.includes(words.toLowerCase())));
  if (rule !== undefined) return told(rule.reason, rule.code, rule.message, rule.hint);
  if (stage !== undefined || log.includes('cannot run osbuild')) {
    return told('failed', 'converter-stage-failed', `${converter} failed`, 'Its last lines above say what the stage ran into.');
  }
  return told('failed', 'converter-failed', `${converter} ended with exit code ${exitCode}`, 'Its last lines above say why.');
}
