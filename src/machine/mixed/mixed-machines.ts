import { compareNames } from '../../core/names.ts';
import type { Machines } from '../types.ts';

/**
 * Machines of which some are containers and some are virtual machines, in one network: that of the containers, whose engine also
 * leads in and out of it. Which is which, {@link Machines.start} is told; later they are known by where they are found.
 */
export function mixedMachines(containers: Machines, vms: Machines): Machines {
  const whose = async (name: string): Promise<Machines> => ((await vms.list()).some((machine) => machine.name === name) ? vms : containers);
  const list: Machines['list'] = async () => {
    const lists = await Promise.all([containers.list(), vms.list()]);
    return lists.flat().toSorted((a, b) => compareNames(a.name, b.name));
  };
  const node: Machines['node'] = async (name, signal) => (await whose(name)).node(name, signal);
  return {
    network: async (families, signal) => {
      const network = await containers.network(families, signal);
      await vms.network(families, signal);
      return network;
    },
    // Containers are as fast as the host: they make way for nobody, and nobody for them.
    schedule: async (signal) => ((await vms.schedule(signal)) === 'together' ? 'together' : 'machines-in-turn'),
    start: (machine, signal) => (machine.provider === 'vm' ? vms : containers).start(machine, signal),
    node,
    list,
    stop: async (name, signal) => (await whose(name)).stop(name, signal),
    remove: async (name) => (await whose(name)).remove(name),
    console: async (name) => (await whose(name)).console(name),
    terminal: async (name) => (await whose(name)).terminal(name),
    balance: (port, targets, signal, hostPort) => containers.balance(port, targets, signal, hostPort),
    reach: (port, hostPort, signal) => containers.reach(port, hostPort, signal),
    forward: (name, targets, signal, wanted) => containers.forward(name, targets, signal, wanted),
    rest: () => containers.rest(),
    destroy: async () => {
      // Containers last: their engine ends when nothing of kvci is left in it.
      await vms.destroy();
      await containers.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      await vms[Symbol.asyncDispose]();
      await containers[Symbol.asyncDispose]();
    },
  };
}
