/** OpenFlow 1.4 with the extensions of Open vSwitch that agents need. */
export type { Action, SpecialPort, Translation } from './actions.ts';
export { GROUP, type Match, type Register } from './fields.ts';
export type { Flow, FlowStatistics, Group, Meter, PacketIn } from './messages.ts';
export { OpenFlowSwitch } from './switch.ts';
