/** Every word that the page says, by area. Sentences in lower case, no exclamation marks; units always written. */
import { adapters } from "./adapters";
import { catalogue } from "./catalogue";
import { chat } from "./chat";
import { design } from "./design";
import { editor } from "./editor";
import { errors } from "./errors";
import { forms } from "./forms";
import { keys } from "./keys";
import { people } from "./people";
import { platform } from "./platform";
import { playground } from "./playground";
import { runs } from "./runs";
import { shell } from "./shell";
import { usage } from "./usage";
import { versions } from "./versions";
import { workflowRun } from "./workflow-run";
import { workflows } from "./workflows";

export const strings = {
  adapters,
  catalogue,
  chat,
  design,
  editor,
  errors,
  forms,
  keys,
  people,
  platform,
  playground,
  runs,
  shell,
  usage,
  versions,
  workflowRun,
  workflows,
};
