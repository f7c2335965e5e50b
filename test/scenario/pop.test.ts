import { testScenarios } from '../support/scenario.ts';

testScenarios([
  { name: 'pop-split', title: 'R3-1 R3-2 R3-3 R3-4 R3-5 R3-8 R3-9 R3-10 R3-12 R3-14 R3-18 R3-19 R3-20 R3-21 R3-30 R3-33 R3-38 R3-39 who serves what', cells: 1, met: 34, slack: 2 },
  { name: 'pop-preserve', title: 'R3-10 R3-15 R3-16 R3-19 R3-20 R3-30 ten thousand connections live while policies change', cells: 3, met: 22, slack: 3 },
  { name: 'pop-bgp', title: 'R3-31 withdrawing the prefix instead', cells: 2, met: 8, slack: 3 },
  { name: 'pop-attack', title: 'R3-32 an attack is not forwarded', cells: 2, met: 9, slack: 3 },
  { name: 'pop-mesh', title: 'R3-6 R3-7 R3-21 R3-22 R3-23 R3-34 R3-35 R3-37 both ways at once, cascades, deaths', cells: 1, met: 15, slack: 3 },
  { name: 'pop-forms', title: 'R3-8 R3-9 R3-11 R3-12 R3-13 R3-14 R3-34 R3-36 R3-39 forms of forwarding', cells: 5, met: 50, slack: 3 },
  { name: 'pop-overload', title: 'R3-24 R3-26 R3-27 R3-28 R3-29 an overload, and the loop that closes', cells: 3, met: 20, slack: 3 },
]);
