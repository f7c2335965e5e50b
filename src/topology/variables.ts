/** `${name}` and `${name * 0.7}` in any text of a topology. */
import type { Path, Problem } from '../core/config/problems.ts';
import { suggest } from '../core/config/validate.ts';

export type Scalar = string | number | boolean;
export type Variables = Readonly<Record<string, Scalar>>;

const EXPRESSION = /\$\{([^}]*)\}/g;
const FORM = /^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(?:\*\s*([0-9]+(?:\.[0-9]+)?)\s*)?$/;

/** Replaces every expression below `value`; a text that is one expression takes the variable's own type. */
export function substitute(value: unknown, variables: Variables, path: Path, problems: Problem[]): unknown {
  if (typeof value === 'string') return substituteText(value, variables, path, problems);
  if (Array.isArray(value)) return value.map((item, i) => substitute(item, variables, [...path, i], problems));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, variables, [...path, key], problems)]));
  }
  return value;
}

function substituteText(text: string, variables: Variables, path: Path, problems: Problem[]): unknown {
  const evaluate = (body: string): Scalar => {
    const form = FORM.exec(body);
    if (!form) {
      problems.push({ path, message: `cannot read the expression "\${${body}}"`, hint: 'write ${name} or ${name * 0.5}' });
      return '';
    }
    const name = form[1] as string;
    if (!Object.hasOwn(variables, name)) {
      const near = suggest(name, Object.keys(variables));
      problems.push({ path, message: `unknown variable "${name}"`, hint: near ? `did you mean "${near}"?` : 'declare it under vars' });
      return '';
    }
    const value = variables[name] as Scalar;
    return form[2] === undefined ? value : scale(value, Number(form[2]), path, problems);
  };
  const whole = /^\$\{([^}]*)\}$/.exec(text);
  if (whole) return evaluate(whole[1] as string);
  return text.replace(EXPRESSION, (_, body: string) => String(evaluate(body)));
}

/** 0.7 × "100Mbit" = "70Mbit". */
function scale(value: Scalar, factor: number, path: Path, problems: Problem[]): Scalar {
  if (typeof value === 'number') return value * factor;
  const quantity = /^([0-9]+(?:\.[0-9]+)?)( ?[A-Za-zµ%]*)$/.exec(String(value));
  if (!quantity) {
    problems.push({ path, message: `cannot multiply "${String(value)}"`, hint: 'only quantities such as 100Mbit can be multiplied' });
    return value;
  }
  return `${Number((Number(quantity[1]) * factor).toPrecision(12))}${quantity[2]}`;
}
