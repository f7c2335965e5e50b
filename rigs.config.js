/** Tests on containers and virtual machines: alone on the machine. */
import base from './ava.config.js';

export default { ...base, files: ['test/rigs/**/*.test.ts'], serial: true, concurrency: 1, timeout: '30m' };
