// Everything that the views are made of.

export { Avatar } from "./Avatar.tsx";
export { Badge, type Tone } from "./Badge.tsx";
export { Button, ButtonLink, IconButton } from "./Button.tsx";
export { Checkbox } from "./Checkbox.tsx";
export { CopyButton } from "./CopyButton.tsx";
export { classes } from "./classes.ts";
export {
  type ColumnMeta,
  type Columns,
  columnsOf,
  DataTable,
  type Selection,
} from "./DataTable.tsx";
export { ConfirmDialog, Dialog } from "./Dialog.tsx";
export {
  Menu,
  type MenuEntry,
  type MenuHandle,
  newMenuHandle,
  SharedMenu,
  SharedMenuTrigger,
} from "./Menu.tsx";
export { Facts, Figure, Page, Panel, Tiles, Toolbar } from "./Page.tsx";
export { Progress } from "./Progress.tsx";
export { type Option, Select } from "./Select.tsx";
export { EmptyState, ErrorState, LoadingPage, Notice, Skeleton } from "./states.tsx";
export { SearchField, TextField } from "./TextField.tsx";
export { absolute, duration, relative, Time } from "./Time.tsx";
export { sentenceOf, Toasts, tell, tellError } from "./toasts.tsx";
export { countOf, sentence } from "./words.ts";
