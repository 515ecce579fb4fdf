export const errors = {
  offline: "The platform does not answer. It may be restarting; this page tries again by itself.",
  fault: "This part of the page failed. Reload it; what you wrote in the editor is kept.",
  answered: (status: number) => `The platform answered with status ${String(status)}.`,
  retry: "Try again",
  notFound: "There is nothing at this address.",
  noPermission: "You may not see this.",
  signInNeeded: "Sign in to see this.",
};
