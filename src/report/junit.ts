import XMLBuilder from 'fast-xml-builder';

export interface JunitCase {
  /** Stable name of the test, and where it belongs: `read-only`, `verify.facts`. */
  readonly name: string;
  readonly className: string;
  readonly seconds?: number;
  /** Nothing for a test that has passed. */
  readonly outcome?: { readonly kind: 'failure' | 'error' | 'skipped'; readonly message: string; readonly text?: string };
  /** What the system under test said. */
  readonly output?: string;
}

export interface JunitSuite {
  readonly name: string;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly cases: readonly JunitCase[];
}

/** Everything that XML 1.0 cannot hold, such as the colours of a console. */
const UNWRITABLE =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function clean(text: string): string {
  return text.replace(UNWRITABLE, '');
}

/** A report as CI systems read it: https://github.com/testmoapp/junitxml */
export function junitXml(name: string, suites: readonly JunitSuite[]): string {
  const builder = new XMLBuilder({
    attributeNamePrefix: '@',
    ignoreAttributes: false,
    format: true,
    suppressEmptyNode: true,
    suppressBooleanAttributes: false,
  });
  const document = {
    '?xml': { '@version': '1.0', '@encoding': 'UTF-8' },
    testsuites: { '@name': clean(name), ...totals(suites.flatMap(({ cases }) => cases)), testsuite: suites.map(suiteElement) },
  };
  return builder.build(document);
}

function suiteElement({ name, timestamp, properties, cases }: JunitSuite): object {
  return {
    '@name': name,
    ...totals(cases),
    '@timestamp': timestamp,
    properties: { property: Object.entries(properties).map(([key, value]) => ({ '@name': key, '@value': clean(value) })) },
    testcase: cases.map(caseElement),
  };
}

function totals(cases: readonly JunitCase[]): object {
  const count = (kind: NonNullable<JunitCase['outcome']>['kind']): number => cases.filter(({ outcome }) => outcome?.kind === kind).length;
  return {
    '@tests': cases.length,
    '@failures': count('failure'),
    '@errors': count('error'),
    '@skipped': count('skipped'),
    '@time': cases.reduce((sum, { seconds = 0 }) => sum + seconds, 0).toFixed(1),
  };
}

function caseElement({ name, className, seconds, outcome, output }: JunitCase): object {
  return {
    '@name': name,
    '@classname': className,
    ...(seconds === undefined ? {} : { '@time': seconds.toFixed(1) }),
    ...(outcome === undefined ? {} : { [outcome.kind]: { '@message': clean(outcome.message), '#text': clean(outcome.text ?? '') } }),
    ...(output === undefined ? {} : { 'system-out': clean(output) }),
  };
}
