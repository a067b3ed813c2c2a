/**
 * What all of some promises give, as `Promise.all` does it; but where one fails, the others are awaited before its error is thrown:
 * nothing goes on behind the back of whoever tidies up.
 */
export async function allOf<const Values extends readonly unknown[]>(promises: {
  readonly [Index in keyof Values]: Promise<Values[Index]>;
}): Promise<Values> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
