import { RPM } from './rpm.ts';
import type { Distribution } from './types.ts';

export const centosStream9: Distribution = {
  ...RPM,
  id: 'centos-stream-9',
  title: 'CentOS Stream 9',
  image: 'quay.io/centos-bootc/centos-bootc:stream9',
  template: 'base/centos-stream-9',
};
