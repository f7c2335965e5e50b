import { testScenarios } from '../support/scenario.ts';

testScenarios([
  { name: 'gatekeeper-rx', title: 'R4-6 the paper\'s shape, receiving', cells: 12, met: 6 },
  { name: 'gatekeeper-tx', title: 'R4-6 the paper\'s shape, sending', cells: 12, met: 6 },
  { name: 'gatekeeper-contracts', title: 'R4-1 R4-2 R4-3 R4-4 R4-5 minimum, maximum, the idle link, determinism', cells: 7, met: 8 },
  { name: 'gatekeeper-crowd', title: 'R4-7 one flow against 99 flows and 99 senders', cells: 4, met: 2 },
  { name: 'gatekeeper-laws', title: 'R4-8 R4-9 R4-17 R4-20 response functions', cells: 4, met: 3, args: ['--repeat', '1'] },
  { name: 'gatekeeper-senders', title: 'R4-10 the slope does not depend on the number of senders', cells: 3, met: 0, args: ['--repeat', '2'] },
  { name: 'gatekeeper-churn', title: 'R4-11 R4-14 vNICs come and go', cells: 1, met: 3 },
  { name: 'gatekeeper-two-links', title: 'R4-13 several access links', cells: 2, met: 1 },
  { name: 'gatekeeper-adversaries', title: 'R4-2 R4-15 adversaries', cells: 6, met: 4 },
  { name: 'gatekeeper-faults', title: 'R4-16 R4-17 faults', cells: 8, met: 1 },
  { name: 'gatekeeper-latency', title: 'R4-19 latency of the victim', cells: 2, met: 1, args: ['--repeat', '1'] },
]);
