export const playground = {
  pictureGone: "This picture is not there any more.",
  compareLine: "Where the first picture ends and the second begins",
  pictureOf: (place: number, total: number) => `Picture ${String(place)} of ${String(total)}`,
  previous: "Previous picture",
  next: "Next picture",
  save: "Save",
};
