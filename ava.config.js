/** Tests without labs: pure functions and recorded evidence. Files run beside each other. */
export default {
  files: ['test/{unit,golden,fuzz}/**/*.test.ts'],
  extensions: ['ts'],
  // node:assert says what differs; ava would count only its own assertions.
  failWithoutAssertions: false,
  // Native modules are loaded by several files.
  workerThreads: false,
  timeout: '5m',
};
