/** Ends this browser's session, and the identity provider's where that is offered. */
import { useLocation } from "wouter";

import { call } from "@/api/client";
import { asApiError } from "@/api/errors";
import { strings } from "@/strings";
import { toast } from "@/ui/toast";

import { useForgetSession } from "./session";

export function useSignOut(): () => Promise<void> {
  const forget = useForgetSession();
  const [, navigate] = useLocation();
  return async () => {
    try {
      const response = await call("/logout", { method: "POST" });
      const { provider_logout_url: provider } = (await response.json()) as { provider_logout_url: string | null };
      if (provider !== null) {
        window.location.assign(provider);
        return;
      }
      navigate("/models");
      await forget();
      // Drafts of prompts are whose they were; the next one at this browser begins anew.
      sessionStorage.clear();
      toast(strings.shell.signedOut);
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    }
  };
}
