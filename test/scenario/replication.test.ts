import { testScenarios } from '../support/scenario.ts';

testScenarios([
  { name: 'replication-fig3', title: 'R0-1 R0-2 R0-3 R0-4 R0-5 R0-6 R0-7 R0-9 R0-10 R0-13 R0-14 R0-15 R0-16 R0-22 R0-24 R0-31 R0-35 fair delivery beside its controls', cells: 7, met: 50, slack: 5 },
  { name: 'replication-drift', title: 'R0-8 R0-11 R0-12 R0-33 R0-34 delays step and drift, nodes die, consumers come and go', cells: 1, met: 9, slack: 3 },
  { name: 'replication-classes', title: 'R0-23 R0-24 R0-33 classes, and copies over two paths', cells: 1, met: 9, slack: 5 },
  { name: 'replication-copies', title: 'R0-24 exits die, the other copy comes', cells: 2, met: 4, slack: 5 },
  { name: 'replication-buffer', title: 'R0-17 holds follow the room that there is', cells: 1, met: 4, slack: 5 },
  { name: 'replication-several', title: 'R0-1 R0-3 R0-5 R0-19 several producers and gateways', cells: 1, met: 5, slack: 5 },
  { name: 'replication-clocks', title: 'R0-21 a PPN whose clock is wrong', cells: 2, met: 3, slack: 5 },
  { name: 'replication-scale', title: 'R0-18 R0-19 R0-20 consumers and rates grow', cells: 2, met: 8, slack: 3 },
  { name: 'replication-direction', title: 'R0-30 R0-32 tasks by direction, overlapping addresses, exclusive use', cells: 1, met: 8, slack: 3 },
  { name: 'replication-cells', title: 'R0-25 R0-27 R0-28 R0-29 cells, migration, sharing', cells: 1, met: 6, slack: 3 },
]);
