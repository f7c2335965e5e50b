/** Tests that deploy labs in namespaces: one after the other in a file, two files beside each other, for most of their time is waiting. */
import base from './ava.config.js';

export default { ...base, files: ['test/{rig,fault,report,cells}/**/*.test.ts'], serial: true, concurrency: 2, timeout: '15m' };
