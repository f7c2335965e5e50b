/** How a virtual machine that netrig booted is reached: by SSH, like any other. */
import { NetrigError } from '../../../core/errors.ts';
import type { RigPlan, SshAccess } from '../../rigfile.ts';
import { readRigState } from './state.ts';

export function vmAccess(rig: RigPlan, name: string): SshAccess {
  const state = readRigState(rig.name);
  const vm = state?.vms[name];
  if (!state || !vm)
    throw new NetrigError('HOST_UNREACHABLE', `virtual machine "${name}" of rig "${rig.name}" is not up`, {
      hint: `netrig rig up ${rig.path}`,
    });
  return {
    address: vm.address,
    port: 22,
    user: 'root',
    keyFile: state.keyFile,
    hostKey: vm.hostKey,
    knownHosts: '/dev/null',
    jump: null,
    sudo: false,
  };
}
