/** Ends this browser's session, and the identity provider's where that is offered. */
import { useLocation } from "wouter";

import { call } from "@/api/client";
import { asApiError } from "@/api/errors";
import { finishWriting, ownerOf } from "@/api/owner";
import { placeOf as placeOfChats } from "@/pages/chat/conversations";
import { strings } from "@/strings";
import { toast } from "@/ui/toast";

import { useForgetSession, useSession } from "./session";

export function useSignOut(): () => Promise<void> {
  const forget = useForgetSession();
  const [, navigate] = useLocation();
  const { me } = useSession();
  return async () => {
    await finishWriting();
    navigate("/models");
    try {
      const response = await call("/logout", { method: "POST" });
      const { provider_logout_url: provider } = (await response.json()) as { provider_logout_url: string | null };
      // What was written to models, and drafts of prompts, are whose they were.
      localStorage.removeItem(placeOfChats(ownerOf(me)));
      sessionStorage.clear();
      if (provider !== null) {
        window.location.assign(provider);
        return;
      }
      await forget();
      toast(strings.shell.signedOut);
    } catch (thrown) {
      toast(asApiError(thrown).message, "bad");
    }
  };
}
