import { RPM } from './rpm.ts';
import type { Distribution } from './types.ts';

export const centosStream10: Distribution = {
  ...RPM,
  id: 'centos-stream-10',
  title: 'CentOS Stream 10',
  image: 'quay.io/centos-bootc/centos-bootc:stream10',
  template: 'base/centos-stream-10',
  // br_netfilter moved there: https://github.com/kubevirt/kubevirtci commit f224bfcc
  kernelModules: ['kernel-modules-extra'],
};
