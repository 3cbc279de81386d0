"""What the browser shows: one small file for each part of the page. The numbers come from `services.console.state`."""
