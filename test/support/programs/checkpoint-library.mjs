// One checkpoint by way of the library, in a process of its own that a test can kill: node checkpoint-library.mjs LIBRARY APPLICATION. Prints
// "begin" just before the call and "done" after it.
const { Stasis } = await import(process.argv[2]);
const stasis = await Stasis.open();
const application = await stasis.application(process.argv[3]);
process.stdout.write('begin\n');
await application.checkpoint({ leaveRunning: true });
process.stdout.write('done\n');
