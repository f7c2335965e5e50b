import { testScenarios } from '../support/scenario.ts';

testScenarios([
  { name: 'replication-fig3', title: 'R0-1 R0-3 R0-4 R0-5 R0-6 R0-7 R0-9 R0-10 R0-13 R0-15 R0-16 R0-22 fair delivery beside its controls', cells: 6, met: 40, slack: 5 },
  { name: 'replication-drift', title: 'R0-8 R0-11 R0-12 R0-34 delays step and drift, nodes die, consumers come and go', cells: 1, met: 9, slack: 3 },
  { name: 'replication-classes', title: 'R0-23 R0-24 R0-33 classes, and copies over two paths', cells: 1, met: 9, slack: 5 },
  { name: 'replication-clocks', title: 'R0-21 a PPN whose clock is wrong', cells: 2, met: 3, slack: 5 },
  { name: 'replication-scale', title: 'R0-18 R0-19 R0-20 consumers and rates grow', cells: 2, met: 8, slack: 3 },
  { name: 'replication-direction', title: 'R0-30 R0-32 tasks by direction, overlapping addresses, exclusive use', cells: 1, met: 8, slack: 3 },
  { name: 'replication-cells', title: 'R0-25 R0-27 R0-28 R0-29 cells, migration, sharing', cells: 1, met: 6, slack: 3 },
]);
