export const adapters = {};
