import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { endOfCertificate, userConfig, renewalOf } from './credentials.ts';

/** Of nobody: its key was thrown away. */
const CERTIFICATE =
  'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJqRENDQVRHZ0F3SUJBZ0lVUmo0YmIzZFQyRVRVYjBpOU0vWG9FbmRsMkZrd0NnWUlLb1' +
  'pJemowRUF3SXcKR3pFWk1CY0dBMVVFQXd3UWEzVmlaWEp1WlhSbGN5MWhaRzFwYmpBZUZ3MHlOakV4TWpZeE56RXhNVEJhRncweQpOekV4TWpZ' +
  'eE56RXhNVEJhTUJzeEdUQVhCZ05WQkFNTUVHdDFZbVZ5Ym1WMFpYTXRZV1J0YVc0d1dUQVRCZ2NxCmhrak9QUUlCQmdncWhrak9QUU1CQndOQ0' +
  'FBU1M1MFV6V1FsTFN1dFRVLzFQQ3Q2UmhMMTJwb0tPd2hVMXVPRUIKRDdRL01XVSt5elRDOFp0Q0xWd2JYMzhpVDd3ZmdVOTJua3BMcTVwcmpD' +
  'WEp0RmxObzFNd1VUQWRCZ05WSFE0RQpGZ1FVVEJJa1l5cDFteXNIai9IcER6eDdiQmJNU1pBd0h3WURWUjBqQkJnd0ZvQVVUQklrWXlwMW15c0' +
  'hqL0hwCkR6eDdiQmJNU1pBd0R3WURWUjBUQVFIL0JBVXdBd0VCL3pBS0JnZ3Foa2pPUFFRREFnTkpBREJHQWlFQW1tTWoKb0pYSlR5U3ppaVRn' +
  'MWR0aHZVLzkwQmJVdzU2K2FjQno2d1N2NDdVQ0lRQ3RiMzRQNFE1NmRuT0JwQWg4WWxJbwpYa2NsUGY5bzFzSURhQUtVczFTOHlnPT0KLS0tLS' +
  '1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=';

const END = Date.parse('2027-11-26T17:11:10Z');
const DAY = 24 * 60 * 60_000;
const kubeconfig = JSON.stringify({ users: [{ name: 'x', user: { 'client-certificate-data': CERTIFICATE } }] });

describe('the certificate of a kubeconfig', () => {
  it('tells when it ends', () => {
    expect(endOfCertificate(kubeconfig)).toBe(END);
    expect(endOfCertificate('users: [{name: x, user: {token: t}}]')).toBeUndefined();
    expect(endOfCertificate('{}')).toBeUndefined();
  });

  it.each([
    ['a year before the end', 365, 'none'],
    ['two months and a day', 61, 'none'],
    ['two months', 59, 'files'],
    ['eight days', 8, 'files'],
    ['the day of the end', 0, 'programs'],
    ['after it', -1, 'programs'],
  ])('is made anew: %s', (_what, days, wanted) => {
    expect(renewalOf(kubeconfig, END - days * DAY)).toBe(wanted);
  });

  it('that there is none is nothing to make anew', () => {
    expect(renewalOf('{}', END)).toBe('none');
  });
});

it('kubeadm is told what cluster a user is of, and asks nobody for its version', () => {
  expect(parse(userConfig({ name: 'lab', kubernetes: '1.36.3', endpoint: '192.168.66.101:6443' }))).toEqual({
    apiVersion: 'kubeadm.k8s.io/v1beta4',
    kind: 'ClusterConfiguration',
    clusterName: 'lab',
    kubernetesVersion: 'v1.36.3',
    controlPlaneEndpoint: '192.168.66.101:6443',
  });
});
