import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { renderTemplate } from '../core/template.ts';
import { CLUSTER_PLUGINS, pluginImports } from './coredns-plugins.ts';

const PLUGIN_CFG = `# Directives are registered in the order they should be executed.

errors:errors
prometheus:metrics
route53:route53
kubernetes:kubernetes
on:github.com/coredns/caddy/onevent
`;

it('takes what a cluster uses, from where plugin.cfg says', () => {
  expect(pluginImports(PLUGIN_CFG)).toEqual([
    'github.com/coredns/coredns/plugin/errors',
    'github.com/coredns/coredns/plugin/metrics',
    'github.com/coredns/coredns/plugin/kubernetes',
    'github.com/coredns/caddy/onevent',
  ]);
});

it("has every plugin of kubeadm's Corefile", () => {
  // cmd/kubeadm/app/phases/addons/dns/manifests.go
  for (const name of ['errors', 'health', 'ready', 'kubernetes', 'prometheus', 'forward', 'cache', 'loop', 'reload', 'loadbalance'])
    expect(CLUSTER_PLUGINS).toContain(name);
});

it('renders a Go program', async () => {
  const template = await readFile(join(import.meta.dirname, '../../templates/payload/coredns/main.go.hbs'), 'utf8');
  const main = renderTemplate(new Map([['main', template]]), 'main', { imports: pluginImports(PLUGIN_CFG).toSorted() });
  expect(main).toContain(`import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/caddy/onevent"
	_ "github.com/coredns/coredns/plugin/errors"
`);
  expect(main).not.toContain('route53');
});
