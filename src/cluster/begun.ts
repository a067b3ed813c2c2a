/** Pieces of work that go on side by side: the first that fails stops the others, and none is left running. */
export class Begun {
  readonly #all: Promise<unknown>[] = [];
  readonly #failed = new AbortController();

  get signal(): AbortSignal {
    return this.#failed.signal;
  }

  /** Each is awaited where it is needed; one that fails early must not count as unhandled before that. */
  add<T>(work: Promise<T>): Promise<T> {
    this.#all.push(work);
    work.catch((error: unknown) => {
      this.#failed.abort(error);
    });
    return work;
  }

  /** Stops what still runs and waits for it. Answers the first failure. */
  async ended(error: unknown): Promise<unknown> {
    this.#failed.abort(error);
    await Promise.allSettled(this.#all);
    return this.#failed.signal.reason;
  }
}
