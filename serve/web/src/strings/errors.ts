export const errors = {
  offline: "The platform does not answer. It may be restarting; this page tries again by itself.",
  fault: "This part of the page failed. Reload it; what you wrote in the editor is kept.",
  faultTitle: "This part of the page failed",
  answered: (status: number) => `The platform answered with status ${String(status)}.`,
  retry: "Try again",
  reload: "Reload the page",
  notFoundTitle: "Nothing here",
  notFound: "There is nothing at this address.",
  toModels: "Go to the models",
  noPermission: "You may not see this.",
  signInNeeded: "Sign in to see this.",
  scopeNeeded: (scope: string) => `You may not see this: it takes the scope “${scope}”. Ask an owner of your tenant.`,
};
