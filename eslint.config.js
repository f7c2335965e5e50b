import tseslint from 'typescript-eslint';

/** Layers of the house: what a folder may import. Everything may import core and itself. */
const layers = {
  core: [],
  topology: [],
  rig: ['topology'],
  fabric: ['rig', 'topology'],
  traffic: ['rig', 'topology'],
  capture: ['rig', 'topology'],
  clocks: ['rig', 'topology'],
  evidence: ['capture', 'clocks', 'fabric', 'topology', 'traffic'],
  checks: ['capture', 'clocks', 'evidence', 'topology', 'traffic'],
  report: ['checks', 'clocks', 'evidence', 'systems', 'topology'],
  systems: ['checks', 'evidence', 'rig', 'topology'],
  run: ['capture', 'clocks', 'evidence', 'fabric', 'rig', 'systems', 'topology', 'traffic'],
};
const folders = ['core', 'topology', 'rig', 'fabric', 'traffic', 'capture', 'clocks', 'evidence', 'checks', 'report', 'systems', 'run', 'cli'];

export default tseslint.config(
  { ignores: ['*.config.js', 'build/', 'results/', 'node_modules/', 'coverage/', 'eslint.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: true }],
      // Header bytes are read where the length was checked once for all of them.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
    },
  },
  { files: ['test/**', 'bench/**'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  ...Object.entries(layers).map(([folder, allowed]) => ({
    files: [`src/${folder}/**`],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: folders.filter((other) => other !== folder && other !== 'core' && !allowed.includes(other)).map((other) => ({ group: [`../${other}/*`], message: `src/${folder} does not know src/${other}` })),
      }],
    },
  })),
);
