/** Names of devices that netrig makes in nodes. */

/** The switch inside a node of kind bridge or ovs-bridge. */
export const SWITCH_DEVICE = 'br0';
